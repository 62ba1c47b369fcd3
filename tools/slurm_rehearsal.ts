/**
 * Runs a study as a Slurm array (`examples/cluster/study.sbatch`) on a Slurm of one node that it starts and stops, requeues
 * a task in the middle of a trial, and compares the outcomes with those of one process:
 *
 *     apt-get install slurm-wlm munge
 *     deno run -A tools/slurm_rehearsal.ts
 */

import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { Daemon, Rehearsal, SHARDS, until } from "./rehearsal_study.ts";

const script = fromFileUrl(
  new URL("../examples/cluster/study.sbatch", import.meta.url),
);

await using stack = new AsyncDisposableStack();
const place = stack.use(await Rehearsal.create());
const inside = (name: string) => join(place.path, name);
const host = (await place.run("hostname", "-s")).trim();
const user = (await place.run("id", "-un")).trim();
const socket = inside("munge.socket");

await Deno.writeTextFile(
  inside("slurm.conf"),
  `ClusterName=rehearsal
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=${socket}
SlurmUser=${user}
SlurmdUser=${user}
StateSaveLocation=${inside("state")}
SlurmdSpoolDir=${inside("spool")}
SlurmctldPidFile=${inside("slurmctld.pid")}
SlurmdPidFile=${inside("slurmd.pid")}
SlurmctldLogFile=${inside("slurmctld.log")}
SlurmdLogFile=${inside("slurmd.log")}
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=2
NodeName=${host} NodeAddr=127.0.0.1 CPUs=${SHARDS} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
`,
);
// Without systemd there is no cgroup that Slurm could use.
await Deno.writeTextFile(inside("cgroup.conf"), "CgroupPlugin=cgroup/v1\n");
await Deno.mkdir(inside("state"));
await Deno.mkdir(inside("spool"));
const key = crypto.getRandomValues(new Uint8Array(1024));
await Deno.writeFile(inside("munge.key"), key, { mode: 0o400 });

const env = { ...place.env, SLURM_CONF: inside("slurm.conf") };
const slurm = (command: string, ...args: string[]) =>
  place.run("env", `SLURM_CONF=${env.SLURM_CONF}`, command, ...args);
stack.use(
  new Daemon("munged", [
    ...["--foreground", "--force", `--socket=${socket}`],
    ...["key", "pid", "log", "seed"].map((part) =>
      `--${part}-file=${inside(`munge.${part}`)}`
    ),
  ]),
);
await until("munged listens", 10, () => exists(socket));
stack.use(new Daemon("slurmctld", ["-D", "-f", env.SLURM_CONF], env));
stack.use(new Daemon("slurmd", ["-D", "-f", env.SLURM_CONF, "-N", host], env));
await until("the node is idle", 60, async () => {
  const state = await slurm("sinfo", "-h", "-o", "%T").catch(() => "");
  return state.trim() === "idle";
});

const job = (await slurm(
  "env",
  `SHARDS=${SHARDS}`,
  ...["sbatch", "--parsable", `--array=1-${SHARDS}`],
  ...[script, "study"],
)).trim();
console.log(`job ${job}, ${SHARDS} tasks`);
const lock = (name: string) => name.endsWith(".partial");
await until(
  "trials run",
  60,
  async () =>
    await exists(inside("study/trials")) &&
    (await place.outcomes()).filter(lock).length === SHARDS,
);
await slurm("scontrol", "requeue", `${job}_2`);
console.log("task 2 is requeued in the middle of a trial");
// Slurm would let it wait for two minutes.
await until("task 2 waits", 60, async () => {
  const state = await slurm("squeue", "-h", "-j", `${job}_2`, "-o", "%T");
  return state.trim() === "PENDING";
});
await slurm("scontrol", "update", `JobId=${job}_2`, "StartTime=now");
await until("no task is left", 600, async () => {
  const tasks = await slurm("squeue", "-h", "-o", "%i %T %r");
  return tasks.trim() === "";
});
await place.check();
// Nothing but outcomes is left: no lock, no half of an outcome.
const names = await place.outcomes();
assert(names.every((name) => /^\w+\.s\d\.json$/.test(name)), `${names}`);
const log = await Deno.readTextFile(inside(`lm-lab-${job}-2.log`));
assertEquals(log.match(/trials on lm/g)?.length, 2, log); // It began twice,
assertEquals(log.match(/validation loss/g)?.length, 2, log); // and ended each trial once.
for (const task of [1, 3, 4]) {
  const log = await Deno.readTextFile(inside(`lm-lab-${job}-${task}.log`));
  assert(log.match(/trials on lm/g)?.length === 1, log);
}
console.log("the requeued task ran its trials to their end");

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
