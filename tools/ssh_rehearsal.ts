/**
 * Runs a study with GNU parallel over ssh on machines that share no disk, as docs/scale.md has it, and compares the
 * outcomes with those of one process. The machines are two names of this one, behind an sshd that this starts and stops:
 *
 *     apt-get install parallel openssh-server rsync
 *     deno run -A tools/ssh_rehearsal.ts
 */

import { join } from "@std/path";
import { Daemon, Rehearsal, SHARDS, until } from "./rehearsal_study.ts";

const port = "16822";

await using stack = new AsyncDisposableStack();
const place = stack.use(await Rehearsal.create());
const inside = (name: string) => join(place.path, name);

for (const key of ["host", "user"]) {
  await place.run(
    "ssh-keygen",
    ...["-q", "-t", "ed25519", "-N", "", "-f", `${key}_key`],
  );
}
await Deno.copyFile(inside("user_key.pub"), inside("authorized_keys"));
if ((await place.run("id", "-u")).trim() === "0") {
  await Deno.mkdir("/run/sshd", { recursive: true }); // sshd as root wants it
}
const sshd =
  (await place.run("sh", "-c", "PATH=$PATH:/usr/sbin command -v sshd"))
    .trim();
stack.use(
  new Daemon(sshd, [
    ...["-D", "-e", "-f", "/dev/null"],
    ...Object.entries({
      Port: port,
      ListenAddress: "127.0.0.1",
      HostKey: inside("host_key"),
      AuthorizedKeysFile: inside("authorized_keys"),
      PidFile: "none",
      StrictModes: "no",
      UsePAM: "no",
      // The machines have the command `lm`.
      SetEnv: `PATH=${place.env["PATH"]}`,
    }).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
  ]),
);
await Deno.writeTextFile(
  inside("ssh_config"),
  `Host one two
  HostName 127.0.0.1
  Port ${port}
  IdentityFile ${inside("user_key")}
  UserKnownHostsFile ${inside("known_hosts")}
  StrictHostKeyChecking no
  LogLevel ERROR
`,
);
const ssh = `ssh -F ${inside("ssh_config")}`;
await until("sshd listens", 10, async () => {
  const answer = await place.run("sh", "-c", `${ssh} one true && echo yes`)
    .catch(() => "");
  return answer.trim() === "yes";
});

// As in docs/scale.md. Each machine has a separate directory, with a copy of the study for each shard.
const shards = Array.from({ length: SHARDS }, (_, i) => String(i + 1));
await place.run("parallel", ...[
  ...["--ssh", ssh, "--sshlogin", "2/one,2/two"],
  ...["--workdir", inside("elsewhere"), "--basefile", "study/plan.json"],
  ...["--basefile", "text.txt", "--return", "study-{}", "--cleanup"],
  `cp -r study study-{} && lm lab run study-{} --shard {}/${SHARDS} --device wasm --threads 1`,
  ...[":::", ...shards],
]);
const from = shards.flatMap((shard) => ["--from", `study-${shard}`]);
await place.run("lm", "lab", "merge", "study", ...from);
await place.check();
