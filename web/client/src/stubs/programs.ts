// Generated from the service programs. Do not edit: change the service and generate anew.

import { ServiceError, defineService, type CallOptions, type RpcStream, type ServiceStub, type Shape } from "../index.js";

/** The end of a program. */
export interface Exit {
  /** the program */
  id: string;
  /** how it ended */
  status: ExitStatus;
  /** how long it ran, in seconds */
  duration_s: number;
  /** what it used */
  usage: Usage | null;
  /** whether a child that it left behind still holds its output open */
  pipes_still_held: boolean;
  /** whether such a child went on writing for so long that its output was read no further */
  output_cut: boolean;
  /** process ids of its tree that could not be ended */
  survivors: number[];
}

/** How a program ended: with a code, or by a signal. */
export interface ExitStatus {
  /** its exit code; None where a signal ended it */
  code: number | null;
  /** the name of the signal that ended it, such as SIGKILL */
  signal: string | null;
  /** the limit that it reached, if it did: it was ended for that, or has just ended by itself, with whatever code */
  limit: "time" | "idle" | "memory" | "cpu" | "processes" | "file" | "output" | null;
  /** whether it left a core file */
  core_dumped: boolean;
  /** whether nobody saw its end: the machine was restarted, or its keeper was killed */
  lost: boolean;
}

/** What a program used, with all children that it waited for. */
export interface Usage {
  /** processor time in its own code, in seconds */
  user_s: number;
  /** processor time in the system, in seconds */
  system_s: number;
  /** the most memory that one of them held at one time; None where that was no more than the few MiB that the process held before it became the program, which the kernel counts as well */
  max_rss_bytes: number | null;
}

/** A program that was started. */
export interface ProgramInfo {
  /** its name in calls */
  id: string;
  /** its process id */
  pid: number;
  /** when the process started, in clock ticks since boot; with pid it is never used again */
  pid_start: number;
  /** when it started, in seconds since 1970 */
  started_at: number;
  /** the name of who started it */
  owner: string;
  /** what runs */
  argv: string[];
  /** where it was started */
  cwd: string;
  /** as whom it runs; None for the server's own user */
  user: string | null;
  /** its owner's notes */
  labels: Record<string, string>;
  /** its pseudo-terminal, if it has one */
  terminal: TerminalSize | null;
  /** what happens to it when its controller's connection ends */
  on_disconnect: "keep" | "hangup" | "kill";
  /** whether a connection controls it now */
  controlled: boolean;
  /** how many read its output now */
  viewers: number;
  /** whether it still runs */
  running: boolean;
  /** how it ended; None while it runs */
  status: ExitStatus | null;
  /** the offset of the first byte of standard output that is kept */
  stdout_start: number;
  /** bytes it has written to its standard output */
  stdout_bytes: number;
  /** the offset of the first byte of standard error that is kept */
  stderr_start: number;
  /** bytes it has written to its standard error */
  stderr_bytes: number;
}

/** A pseudo-terminal. */
export interface TerminalSize {
  /** its height in characters */
  rows: number;
  /** its width in characters */
  columns: number;
  /** its type, for the variable TERM */
  term: string;
}

/** A piece of one program's output, where several are followed. */
export interface ProgramOutput {
  /** the program */
  id: string;
  /** the piece */
  output: OutputChunk;
}

/** A piece of a program's output. */
export interface OutputChunk {
  /** which output */
  stream: "stdout" | "stderr";
  /** where the piece begins, in bytes from the start of that output */
  offset: number;
  /** the piece */
  data: Uint8Array;
  /** bytes before it that were no longer kept */
  lost_bytes: number;
  /** whether the output ends here, although more came; the piece is the last one, and empty */
  cut: boolean;
}

/** Something that happened to a program. */
export interface ProgramEvent {
  /** what happened */
  kind: "running" | "started" | "exited" | "forgotten";
  /** the program, as it was then */
  program: ProgramInfo;
  /** its end, where it has ended */
  exit: Exit | null;
}

/** A pseudo-terminal. */
export interface TerminalSizeInput {
  /** its height in characters */
  rows?: number | bigint;
  /** its width in characters */
  columns?: number | bigint;
  /** its type, for the variable TERM */
  term?: string;
}

/** What a program may take of the machine; None for no limit of its own. */
export interface LimitsInput {
  /** memory of its whole tree */
  memory_bytes?: number | bigint | null;
  /** processor time of each process, in seconds */
  cpu_s?: number | null;
  /** processors' worth that it may use at a time */
  cpus?: number | null;
  /** processes in its tree */
  processes?: number | bigint | null;
  /** open descriptors of each process */
  open_files?: number | bigint | null;
  /** size of a file that it writes */
  file_bytes?: number | bigint | null;
  /** output of each stream, in all */
  output_bytes?: number | bigint | null;
  /** output of each stream per second; what is faster is made to wait */
  output_bytes_per_s?: number | bigint | null;
}

/** Something that a program does which is followed to its end: it writes, or it ends. */
export interface RunEvent {
  /** a piece of its output */
  output: OutputChunk | null;
  /** its end; nothing comes after it */
  exit: Exit | null;
}

/** A program that was run to its end. */
export interface Completed {
  /** what was run */
  argv: string[];
  /** how it ended */
  status: ExitStatus;
  /** its standard output */
  stdout: Uint8Array;
  /** its standard error; empty where it was merged into the output */
  stderr: Uint8Array;
  /** bytes of output beyond the limit, which are not in stdout */
  stdout_lost_bytes: number;
  /** bytes of errors beyond the limit, which are not in stderr */
  stderr_lost_bytes: number;
  /** how long it ran, in seconds */
  duration_s: number;
  /** what it used */
  usage: Usage | null;
  /** whether a child that it left behind still holds its output open */
  pipes_still_held: boolean;
  /** whether such a child went on writing for so long that its output was read no further */
  output_cut: boolean;
  /** process ids of its tree that could not be ended */
  survivors: number[];
}

/** No program has this id. */
export class ProgramNotFound extends ServiceError {
  declare readonly details: { id: string; };
}

/** The server's policy does not allow it. */
export class ProgramRefused extends ServiceError {
  declare readonly details: { field: string; rule: string; };
}

/** Another connection controls the program. */
export class NotController extends ServiceError {
  declare readonly details: { id: string; };
}

/** The program takes no more input. */
export class StdinClosed extends ServiceError {
  declare readonly details: { id: string; };
}

/** The program has no pseudo-terminal. */
export class NoTerminal extends ServiceError {
  declare readonly details: { id: string; };
}

/** The program could not be started. */
export class ProgramNotStarted extends ServiceError {
  declare readonly details: { field: string; errno: string | null; };
}

/** A program that was to succeed has ended with another code than 0, by a signal, or at a limit. */
export class ProgramUnsuccessful extends ServiceError {
  declare readonly details: { exit_code: number | null; signal: string | null; stdout: string; stderr: string; };
}

const shapeOfExit: Shape = () => ({ id: "plain", status: shapeOfExitStatus, duration_s: "float", usage: shapeOfUsage, pipes_still_held: "plain", output_cut: "plain", survivors: ["list", "int"] });

const shapeOfProgramInfo: Shape = () => ({ id: "plain", pid: "int", pid_start: "int", started_at: "float", owner: "plain", argv: "plain", cwd: "plain", user: "plain", labels: "plain", terminal: "plain", on_disconnect: "plain", controlled: "plain", viewers: "int", running: "plain", status: shapeOfExitStatus, stdout_start: "int", stdout_bytes: "int", stderr_start: "int", stderr_bytes: "int" });

const shapeOfProgramOutput: Shape = () => ({ id: "plain", output: shapeOfOutputChunk });

const shapeOfProgramEvent: Shape = () => ({ kind: "plain", program: shapeOfProgramInfo, exit: shapeOfExit });

const shapeOfOutputChunk: Shape = () => ({ stream: "plain", offset: "int", data: "bytes", lost_bytes: "int", cut: "plain" });

const shapeOfRunEvent: Shape = () => ({ output: shapeOfOutputChunk, exit: shapeOfExit });

const shapeOfCompleted: Shape = () => ({ argv: "plain", status: shapeOfExitStatus, stdout: "bytes", stderr: "bytes", stdout_lost_bytes: "int", stderr_lost_bytes: "int", duration_s: "float", usage: shapeOfUsage, pipes_still_held: "plain", output_cut: "plain", survivors: ["list", "int"] });

const shapeOfExitStatus: Shape = () => ({ code: "int", signal: "plain", limit: "plain", core_dumped: "plain", lost: "plain" });

const shapeOfUsage: Shape = () => ({ user_s: "float", system_s: "float", max_rss_bytes: "int" });

const errors1 = { ProgramNotFound };

const errors2 = { ProgramNotFound, ProgramRefused };

const errors3 = { ProgramNotFound, ProgramRefused, NotController };

const errors4 = { ProgramNotFound, ProgramRefused, NotController, StdinClosed };

const errors5 = { ProgramNotFound, ProgramRefused, NotController, NoTerminal };

const errors6 = { ProgramNotStarted, ProgramRefused };

const errors7 = { ProgramNotStarted, ProgramRefused, ProgramUnsuccessful };

/**
 * Run programs on the server's machine: to their end, or started, watched, fed and ended from afar.
 *
 * Output and input are bytes; which encoding they are in, if any, is the caller's to know.
 */
export interface Programs {
  /**
   * Send a signal to the process groups of all programs that match and still run, of those that you may control.
   * @param params.signal - its name, such as `INT` or `SIGHUP`, in any case.
   * @param params.labels - only those that have all of these labels.
   * @param params.ids - only these.
   * @param params.owner - only those of this owner.
   * @returns The ids of the programs that were still there, in the order of their starts.
   * @throws InvalidParams: there is no such signal, or nothing says which programs.
   */
  signal_matching(params: {
    signal: string;
    labels?: Readonly<Record<string, string>> | null;
    ids?: readonly string[] | null;
    owner?: string | null;
  }, options?: CallOptions): Promise<string[]>;

  /**
   * End all programs that match and still run, of those that you may control, all at the same time, with
   * everything that they have started.
   * @param params.labels - only those that have all of these labels.
   * @param params.ids - only these.
   * @param params.owner - only those of this owner.
   * @param params.grace_s - time to end by themselves after TERM, in seconds; 0 to kill at once.
   * @returns How each ended, in the order of their starts; `survivors` names what could not be ended.
   * @throws InvalidParams: nothing says which programs.
   */
  kill_matching(params?: {
    labels?: Readonly<Record<string, string>> | null;
    ids?: readonly string[] | null;
    owner?: string | null;
    grace_s?: number;
  } | null, options?: CallOptions): Promise<Exit[]>;

  /**
   * Free what is kept of all programs that match and have ended, of those that you may control.
   * @param params.labels - only those that have all of these labels.
   * @param params.ids - only these.
   * @param params.owner - only those of this owner.
   * @param params.force - also those that still run: they are ended first.
   * @returns The ids of the programs that are forgotten, in the order of their starts.
   * @throws InvalidParams: nothing says which programs.
   */
  forget_matching(params?: {
    labels?: Readonly<Record<string, string>> | null;
    ids?: readonly string[] | null;
    owner?: string | null;
    force?: boolean;
  } | null, options?: CallOptions): Promise<string[]>;

  /**
   * Wait for a program's end. All of its output is there before this is answered.
   * @throws ProgramNotFound: there is no such program of yours.
   */
  wait(params: {
    id: string;
  }, options?: CallOptions): Promise<Exit>;

  /**
   * Send a signal to a program's whole process group.
   * @param params.id - the program.
   * @param params.signal - its name, such as `INT` or `SIGHUP`, in any case.
   * @returns Whether the program was still there.
   * @throws InvalidParams: there is no such signal.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   */
  signal(params: {
    id: string;
    signal: string;
  }, options?: CallOptions): Promise<boolean>;

  /**
   * End a program and everything that it has started.
   * @param params.id - the program.
   * @param params.grace_s - time to end by itself after TERM, in seconds; 0 to kill at once.
   * @returns How it ended; `survivors` names what could not be ended.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   */
  kill(params: {
    id: string;
    grace_s?: number;
  }, options?: CallOptions): Promise<Exit>;

  /**
   * Your programs, and those of others that you may see: those that run, and those that have ended but are still
   * kept, in the order of their starts.
   * @param params.labels - only those that have all of these labels.
   * @param params.owner - only those of this owner.
   * @param params.running - only those that still run, or only those that do not.
   */
  list(params?: {
    labels?: Readonly<Record<string, string>> | null;
    owner?: string | null;
    running?: boolean | null;
  } | null, options?: CallOptions): Promise<ProgramInfo[]>;

  /**
   * Follow the output of several programs at once, those that `list` lists at this moment, as
   * `output` does for one. The stream ends when all of them have ended.
   * @param params.beginning - only those whose ids begin like this.
   * @param params.labels - only those that have all of these labels.
   * @param params.owner - only those of this owner.
   * @param params.running - only those that still run, or only those that do not.
   * @param params.tail_bytes - begin so many bytes before what is there now, else with all that is kept.
   * @param params.wait - go on with what is still to come; otherwise end with what there is.
   */
  outputs(params?: {
    beginning?: string;
    labels?: Readonly<Record<string, string>> | null;
    owner?: string | null;
    running?: boolean | null;
    tail_bytes?: number | bigint | null;
    wait?: boolean;
  } | null, options?: CallOptions): RpcStream<ProgramOutput>;

  /**
   * Be told what happens to programs, those that run already first (`running`), then `started`, `exited`
   * and `forgotten`. It does not end by itself.
   * @param params.labels - only those that have all of these labels.
   * @param params.owner - only those of this owner.
   * @throws SlowConsumer: the reader is thousands of events behind.
   */
  watch(params?: {
    labels?: Readonly<Record<string, string>> | null;
    owner?: string | null;
  } | null, options?: CallOptions): RpcStream<ProgramEvent>;

  /**
   * One of your programs.
   * @throws ProgramNotFound: there is no such program of yours.
   */
  get(params: {
    id: string;
  }, options?: CallOptions): Promise<ProgramInfo>;

  /**
   * Free what is kept of a program; one that still runs is ended first.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   */
  forget(params: {
    id: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Follow a program's output, from what is kept of it to its end. Any number of readers may; none holds up
   * another, and one that falls behind what is kept goes on after it, with `lost_bytes` in its next piece.
   *
   * The stream ends with the output; then `wait` tells how the program ended. A reader that was cut off goes
   * on with `offsets` at the end of the last piece that it got.
   * @param params.id - the program.
   * @param params.stream - only this output; both where not given.
   * @param params.offset - where to begin, in bytes from the start of each output.
   * @param params.offsets - the same for each output by itself; it wins over `offset`.
   * @param params.tail_bytes - begin so many bytes before what is there now, in place of `offset`.
   * @param params.wait - go on with what is still to come; otherwise end with what there is.
   * @throws ProgramNotFound: there is no such program of yours.
   */
  output(params: {
    id: string;
    stream?: "stdout" | "stderr" | null;
    offset?: number | bigint;
    offsets?: Partial<Record<"stdout" | "stderr", number | bigint>> | null;
    tail_bytes?: number | bigint | null;
    wait?: boolean;
  }, options?: CallOptions): RpcStream<OutputChunk>;

  /**
   * Let this connection control a program: it may write to it and resize its terminal, the program may wait for
   * it to read (`overflow="wait"`), and `on_disconnect` is about it. There is one controller at a time. A
   * program without one gets the first that calls this, or writes to it.
   * @param params.id - the program.
   * @param params.take - also where another connection controls it, which then no longer does.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   * @throws NotController: another connection controls it.
   */
  control(params: {
    id: string;
    take?: boolean;
  }, options?: CallOptions): Promise<ProgramInfo>;

  /**
   * Write to a program's standard input or terminal. Answered when the program, or its pipe, has taken all of
   * it: whoever waits for the answer before writing more is never ahead of the program.
   * @param params.id - the program.
   * @param params.data - what to write.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   * @throws NotController: another connection controls it.
   * @throws StdinClosed: it takes no more input.
   */
  write(params: {
    id: string;
    data: Uint8Array;
  }, options?: CallOptions): Promise<null>;

  /**
   * Tell a program that there is no more input. A terminal gets its end-of-file character (Ctrl-D), which
   * counts at the beginning of a line, and can be written to afterwards.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   * @throws NotController: another connection controls it.
   */
  close_stdin(params: {
    id: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Give a program's terminal another size; the program is told by SIGWINCH.
   * @param params.id - the program.
   * @param params.rows - the height in characters.
   * @param params.columns - the width in characters.
   * @throws ProgramNotFound: there is no such program of yours.
   * @throws ProgramRefused: you may view it, but not control it.
   * @throws NotController: another connection controls it.
   * @throws NoTerminal: it has no terminal, or has ended.
   */
  resize(params: {
    id: string;
    rows: number | bigint;
    columns: number | bigint;
  }, options?: CallOptions): Promise<null>;

  /**
   * Start a program and leave it running. The caller's connection controls it; see `control`.
   *
   * What it writes is kept, by byte offset, for `output`, until some time after its end.
   * @param params.argv - the program and its arguments.
   * @param params.cwd - where to run it; the home directory of its user where not given.
   * @param params.env - variables to set besides the base.
   * @param params.env_base - what the environment begins with.
   * @param params.stdin - whether it can be written to; otherwise its input is empty.
   * @param params.stderr - where standard error goes.
   * @param params.terminal - run it in a pseudo-terminal of this size; everything that it writes is standard output then.
   * @param params.timeout_s - end it after this time, in seconds.
   * @param params.idle_timeout_s - end it after it has neither read nor written anything for this time, in seconds. What goes
   *   nowhere (`stderr="discard"`) does not count.
   * @param params.grace_s - time between TERM and KILL when one of these times is over, in seconds; the server's where not
   *   given.
   * @param params.on_disconnect - what happens to it when the connection that controls it ends. With `keep` it outlives the
   *   server, too.
   * @param params.reattach_s - how long that waits for somebody to take control again, in seconds.
   * @param params.overflow - what happens when it writes more than is kept and its controller has not read it yet. With
   *   `wait` it is held once half of `retain_bytes` is not read by its controller, so that one that
   *   comes back finds everything that may have been lost on the way.
   * @param params.retain_bytes - output to keep, per stream, in bytes; the server's default where not given.
   * @param params.retain_s - how long to keep it after the program's end, in seconds; the server's default where not given.
   * @param params.user - as whom to run it, if not as the role says: by default as the server's own user.
   * @param params.limits - what it may take of the machine.
   * @param params.labels - notes, for `list` and `watch`.
   * @returns Its id and what else there is to say.
   * @throws ProgramNotStarted: there is no such program or directory, or the system does not let it run.
   * @throws ProgramRefused: the server's policy does not let it run.
   * @throws Busy: too many programs run.
   */
  start(params: {
    argv: readonly string[];
    cwd?: string | null;
    env?: Readonly<Record<string, string>> | null;
    env_base?: "clean" | "login";
    stdin?: boolean;
    stderr?: "pipe" | "merge" | "discard";
    terminal?: TerminalSizeInput | null;
    timeout_s?: number | null;
    idle_timeout_s?: number | null;
    grace_s?: number | null;
    on_disconnect?: "keep" | "hangup" | "kill";
    reattach_s?: number;
    overflow?: "skip" | "wait";
    retain_bytes?: number | bigint | null;
    retain_s?: number | null;
    user?: string | null;
    limits?: LimitsInput | null;
    labels?: Readonly<Record<string, string>> | null;
  }, options?: CallOptions): Promise<ProgramInfo>;

  /**
   * Run a program to its end, and stream its output as it comes; the last item is its end. If the reader closes
   * the stream, or its connection ends, so does the program, with everything that it has started. If the reader is
   * slow, the program waits.
   *
   * As nothing but this one call is needed, it is the way to run a program on many nodes of a group at once.
   * @param params.argv - the program and its arguments.
   * @param params.input - goes to its standard input, which then ends.
   * @param params.check - fail in the end unless it has ended with code 0, by itself.
   * @param params.timeout_s - end it after this time, in seconds.
   * @param params.idle_timeout_s - end it after it has neither read nor written anything for this time, in seconds.
   * @param params.grace_s - time between TERM and KILL when one of these times is over, in seconds; the server's where not
   *   given.
   * @param params.cwd - where to run it; the home directory of its user where not given.
   * @param params.env - variables to set besides the base.
   * @param params.env_base - what the environment begins with.
   * @param params.stderr - where standard error goes.
   * @param params.user - as whom to run it, if not as the role says: by default as the server's own user.
   * @param params.limits - what it may take of the machine.
   * @param params.labels - notes, for `list` and `watch`.
   * @throws ProgramNotStarted: there is no such program or directory, or the system does not let it run.
   * @throws ProgramRefused: the server's policy does not let it run.
   * @throws ProgramUnsuccessful: it has not ended well, and was to (`check`).
   * @throws Busy: too many programs run.
   */
  stream(params: {
    argv: readonly string[];
    input?: Uint8Array;
    check?: boolean;
    timeout_s?: number | null;
    idle_timeout_s?: number | null;
    grace_s?: number | null;
    cwd?: string | null;
    env?: Readonly<Record<string, string>> | null;
    env_base?: "clean" | "login";
    stderr?: "pipe" | "merge" | "discard";
    user?: string | null;
    limits?: LimitsInput | null;
    labels?: Readonly<Record<string, string>> | null;
  }, options?: CallOptions): RpcStream<RunEvent>;

  /**
   * Run a program to its end and return its output. Like `subprocess.run`; no shell is involved. If the call
   * is cancelled or its connection ends, so does the program, with everything that it has started.
   * @param params.argv - the program and its arguments.
   * @param params.input - goes to its standard input, which then ends.
   * @param params.timeout_s - end it after this time, in seconds.
   * @param params.idle_timeout_s - end it after it has neither read nor written anything for this time, in seconds.
   * @param params.grace_s - time between TERM and KILL when one of these times is over, in seconds; the server's where not
   *   given.
   * @param params.cwd - where to run it; the home directory of its user where not given.
   * @param params.env - variables to set besides the base.
   * @param params.env_base - what the environment begins with.
   * @param params.stdout - where standard output goes.
   * @param params.stderr - where standard error goes.
   * @param params.output_bytes - the most output to return, per stream, in bytes; at most, and by default, the server's limit,
   *   and never more than fits into a message. What comes after it is read, counted and dropped.
   * @param params.user - as whom to run it, if not as the role says: by default as the server's own user.
   * @param params.limits - what it may take of the machine.
   * @param params.labels - notes, for `list` and `watch`.
   * @param params.check - fail unless it has ended with code 0, by itself.
   * @returns How it ended and what it wrote. A code other than 0 is a result, not an error, without `check`.
   * @throws ProgramNotStarted: there is no such program or directory, or the system does not let it run.
   * @throws ProgramRefused: the server's policy does not let it run.
   * @throws ProgramUnsuccessful: it has not ended well, and was to (`check`).
   * @throws Busy: too many programs run.
   */
  run(params: {
    argv: readonly string[];
    input?: Uint8Array;
    timeout_s?: number | null;
    idle_timeout_s?: number | null;
    grace_s?: number | null;
    cwd?: string | null;
    env?: Readonly<Record<string, string>> | null;
    env_base?: "clean" | "login";
    stdout?: "pipe" | "discard";
    stderr?: "pipe" | "merge" | "discard";
    output_bytes?: number | bigint | null;
    user?: string | null;
    limits?: LimitsInput | null;
    labels?: Readonly<Record<string, string>> | null;
    check?: boolean;
  }, options?: CallOptions): Promise<Completed>;

  /**
   * The most output that `run` returns of a program, per stream, in bytes: for whoever does what it does by
   * way of `start`, as its input is larger than a message.
   * @param params.argv - the program and its arguments, which are in the same message.
   */
  run_output_bytes(params: {
    argv: readonly string[];
  }, options?: CallOptions): Promise<number>;
}

/** The stub of the service `programs`, for `client.service`. */
export const programs: ServiceStub<Programs> = defineService<Programs>("programs", {
  signal_matching: {},
  kill_matching: { returns: ["list", shapeOfExit], deadlineS: 86400 },
  forget_matching: {},
  wait: { returns: shapeOfExit, deadlineS: 86400, errors: errors1 },
  signal: { errors: errors2 },
  kill: { returns: shapeOfExit, deadlineS: 86400, errors: errors2 },
  list: { returns: ["list", shapeOfProgramInfo] },
  outputs: { returns: shapeOfProgramOutput, isStream: true },
  watch: { returns: shapeOfProgramEvent, isStream: true },
  get: { returns: shapeOfProgramInfo, errors: errors1 },
  forget: { errors: errors2 },
  output: { returns: shapeOfOutputChunk, isStream: true, errors: errors1 },
  control: { returns: shapeOfProgramInfo, errors: errors3 },
  write: { deadlineS: 86400, errors: errors4 },
  close_stdin: { errors: errors3 },
  resize: { errors: errors5 },
  start: { returns: shapeOfProgramInfo, errors: errors6 },
  stream: { returns: shapeOfRunEvent, isStream: true, errors: errors7 },
  run: { returns: shapeOfCompleted, deadlineS: 86400, errors: errors7 },
  run_output_bytes: { returns: "int" },
});
