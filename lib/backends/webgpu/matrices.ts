/** Products of small matrices by subgroups, an experiment of Chromium's that is not in the types of WebGPU. */

import { MATRICES, type Target } from "../../../kernels/wgsl/kernel.ts";

/** Returns the features to request: without matrices, unless a table chooses a variant with them. */
export function withoutMatrices<Name extends string>(
  features: readonly Name[],
  products: Target["products"],
): readonly Name[] {
  const isChosen = Object.values(products ?? {}).some((name) =>
    name.includes(" matrices of ")
  );
  return features.filter((name) => isChosen || name !== MATRICES as string);
}

/** Returns the matrices with float32 sums that subgroups of an adapter multiply. */
export function matricesOf(info: GPUAdapterInfo): Target["matrices"] {
  const { subgroupMatrixConfigs = [], subgroupMaxSize } = info as unknown as {
    readonly subgroupMatrixConfigs?: Iterable<
      & Record<"M" | "N" | "K", number>
      & Record<"componentType" | "resultComponentType", string>
    >;
    readonly subgroupMaxSize: number;
  };
  const shapes = [...subgroupMatrixConfigs].flatMap(
    ({ M, N, K, componentType: element, resultComponentType }) =>
      resultComponentType === "f32" && (element === "f32" || element === "f16")
        ? [{ M, N, K, element } as const]
        : [],
  );
  return { shapes, subgroup: subgroupMaxSize };
}
