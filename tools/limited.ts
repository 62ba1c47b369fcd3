/** Runs programs with an end to their time. */

/** The end of a program's time. */
interface Limit {
  readonly milliseconds: number;
  /** The signal that the program then gets, and all processes that it has started. */
  readonly signal: "SIGINT" | "SIGTERM";
  /** Milliseconds from this signal to a SIGKILL. */
  readonly grace: number;
}

/** Runs a program that writes to this process's output; a Ctrl-C of this process ends both. */
export async function runLimited(
  program: string,
  options: Deno.CommandOptions,
  { milliseconds, signal, grace }: Limit,
): Promise<Deno.CommandStatus> {
  // Detached, it leads a process group, and a signal reaches what it has started.
  const child = new Deno.Command(program, { ...options, detached: true })
    .spawn();
  const kill = (signal: Deno.Signal) => Deno.kill(-child.pid, signal);
  const interrupt = () => {
    kill("SIGTERM");
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", interrupt);
  const timers = [
    setTimeout(() => kill(signal), milliseconds),
    setTimeout(() => kill("SIGKILL"), milliseconds + grace),
  ];
  const status = await child.status;
  timers.forEach(clearTimeout);
  Deno.removeSignalListener("SIGINT", interrupt);
  return status;
}
