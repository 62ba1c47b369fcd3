/** Which presets' models other programs can hold. */

import { assertEquals } from "@std/assert";
import { modelConfig } from "../../lib/config/model.ts";
import { presets } from "../../lib/config/presets.ts";
import { exportFormats } from "../../lib/export/exports.ts";
import { fittingPresets, misfits } from "../../lib/formats/architectures.ts";

Deno.test("Models of the preset portable fit every format but nanoGPT's, as a Llama where there are architectures", () => {
  const { portable } = presets;
  const config = modelConfig({ ...portable.model, vocabSize: 65 });
  for (const [name, { architectures }] of Object.entries(exportFormats)) {
    const isNanogpt = name.startsWith("nanogpt");
    const fitting = architectures.filter((one) =>
      misfits(one, config).length === 0
    );
    assertEquals(fitting.length > 0, !isNanogpt, name);
    assertEquals(
      fittingPresets(architectures).includes("portable"),
      !isNanogpt,
    );
    if (name === "hf" || name === "gguf") {
      assertEquals(fitting[0]!.name, "llama", name);
    }
  }
});
