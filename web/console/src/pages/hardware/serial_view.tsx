/** The console of a serial port: its settings, what comes in as text and as bytes, and what is sent. */

import type { SerialLines, SerialSettings } from "@remote-services/client/stubs/hardware";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal } from "../../app.tsx";
import { tell } from "../../connection.ts";
import { useEntry } from "../../entry.ts";
import { formatBytes, formatDuration } from "../../format.ts";
import { hashOf } from "../../routes.ts";
import { copyText, makeTerminal, measureRoom, textOf, type OpenTerminal } from "../../terminal/terminal.ts";
import { ByteLog, encodeKeys, readHex, writeRows, type LineEnd } from "./bytes.ts";
import { BytesView } from "./bytes_view.tsx";
import "./hardware.css";
import { SerialLine, type LineReport } from "./serial_line.ts";
import { BAUD_RATES, DATA_BITS, FLOW_CONTROLS, keepSettings, PARITIES, readSettings, recallSettings, STOP_BITS, writeSettings } from "./settings.ts";

/** Shows the console of a port, to whoever may open it. */
export function SerialView({ port }: { readonly port: string }) {
  const { permissions, principal } = useEntry();
  return (
    <div class="stack">
      {permissions.has("hardware.serial") ? <Console port={port} /> : (
        <>
          <Head port={port} report={undefined} />
          <Refusal permission="hardware.serial" role={principal.role} />
        </>
      )}
    </div>
  );
}

const LOOKS: Readonly<Record<LineReport["state"], string>> = { closed: "", opening: "accent", open: "good", lost: "warn", gone: "bad" };

const TEXTS: Readonly<Record<LineReport["state"], string>> = {
  closed: "closed", opening: "opening …", open: "open", lost: "connection lost: opened again when it is back", gone: "unplugged: opened again when it is back",
};

function Head({ port, report }: { readonly port: string; readonly report: LineReport | undefined }) {
  return (
    <div class="row">
      <a href={hashOf("hardware")}>← hardware</a>
      <h1 class="mono cut grow port-name">{port}</h1>
      {report !== undefined && (
        <span class={`tag port-state ${LOOKS[report.state]}`} role="status">
          {TEXTS[report.state]}{(report.state === "lost" || report.state === "gone") && `, ${formatDuration((Date.now() - report.since) / 1000)} ago`}
        </span>
      )}
    </div>
  );
}

type View = "text" | "hex";

function Console({ port }: { readonly port: string }) {
  const { client, link } = useEntry();
  const place = useRef<HTMLDivElement>(null);
  const screen = useRef<OpenTerminal>(undefined);
  const line = useRef<SerialLine>(undefined);
  const log = useRef(new ByteLog());
  const [report, setReport] = useState<LineReport>({ state: "closed", since: 0, node: "", problem: "" });
  const [settings, setSettings] = useState<SerialSettings>();
  const [problem, setProblem] = useState("");
  const [view, setView] = useState<View>("text");
  const [version, setVersion] = useState(0);
  const [width, setWidth] = useState(16);
  const [note, setNote] = useState("");
  const [end, setEnd] = useState<LineEnd>("cr");
  const [echoes, setEcho] = useState(false);
  const [newLines, setNewLines] = useState(false);
  const typing = useRef({ end, echoes });
  typing.current = { end, echoes };
  const [wantsSettings, setWantsSettings] = useState<boolean>();
  const isOpen = report.state === "open";
  const isClosed = report.state === "closed";
  // Once the port is open, the room is for what comes from it, unless somebody wants to see the settings.
  const showsSettings = wantsSettings ?? isClosed;
  useEffect(() => { setWantsSettings(undefined); }, [isClosed]);
  useSeconds(report.state === "lost" || report.state === "gone");

  const type = (text: string): void => {
    line.current?.write(encodeKeys(text, typing.current.end));
    if (typing.current.echoes) screen.current?.terminal.write(text.replaceAll("\r", "\r\n"));
  };
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const made = makeTerminal({ cursorBlink: true, disableStdin: true });
    screen.current = made;
    const { terminal } = made;
    terminal.open(element);
    terminal.onData(type);
    const fit = (): void => {
      const room = measureRoom(terminal, element);
      if (room !== undefined && (room.columns !== terminal.cols || room.rows !== terminal.rows)) terminal.resize(room.columns, room.rows);
    };
    fit();
    const observer = new ResizeObserver(fit);
    observer.observe(element);
    let state: LineReport["state"] = "closed";
    let frame = 0;
    const show = (): void => {
      // Many pieces may come between two pictures.
      if (frame === 0) {
        frame = requestAnimationFrame(() => {
          frame = 0;
          setVersion((before) => before + 1);
        });
      }
    };
    const opened = new SerialLine(client, link, port, {
      onReceived: async (data) => {
        log.current.add("in", data);
        show();
        await new Promise<void>((resolve) => { terminal.write(data, resolve); });
      },
      onSent: (data) => {
        log.current.add("out", data);
        show();
      },
      onMark: (text) => {
        const words = `${new Date().toLocaleTimeString([], { timeStyle: "medium", hourCycle: "h23" })}: ${text}`;
        log.current.mark(words);
        show();
        terminal.write(`${terminal.buffer.active.cursorX > 0 ? "\r\n" : ""}\x1b[93m[${words}]\x1b[39m\r\n`);
      },
      onReport: (next) => {
        // Whoever has opened it wants to type; when it is open again by itself, somebody may type elsewhere.
        if (state === "opening" && next.state === "open") terminal.focus();
        state = next.state;
        terminal.options.disableStdin = state !== "open";
        setReport(next);
      },
    });
    line.current = opened;
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame);
      line.current = undefined;
      void opened.close();
      made.close();
    };
  }, [client, port]);
  useEffect(() => { if (screen.current !== undefined) screen.current.terminal.options.convertEol = newLines; }, [newLines]);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const chosen = readSettings(new FormData(event.currentTarget as HTMLFormElement));
    setProblem("");
    keepSettings(localStorage, port, chosen);
    if (isClosed) {
      setSettings(chosen);
      line.current?.open(chosen);
      return;
    }
    try {
      await line.current?.configure(chosen);
      setSettings(chosen);
      setNote(`Set to ${writeSettings(chosen)}.`);
    } catch (error) {
      setProblem(tell(error));
    }
  };
  const clear = (): void => {
    log.current.clear();
    screen.current?.terminal.clear();
    setVersion((before) => before + 1);
  };
  const copy = async (): Promise<void> => {
    const terminal = screen.current?.terminal;
    if (terminal === undefined) return;
    if (view === "text") setNote(await copyText(textOf(terminal), terminal.hasSelection() ? "The selection" : "All of it"));
    else setNote(await copyText(writeRows(log.current.rows(width, 0, Infinity), width), "All of it"));
  };
  return (
    <>
      <Head port={port} report={report} />
      <form class="card stack" aria-label="Settings" onSubmit={(event) => { void submit(event); }}>
        <details open={showsSettings}>
          <summary onClick={(event) => { event.preventDefault(); setWantsSettings(!showsSettings); }}>Settings <span class="small muted">{settings !== undefined && !isClosed && `${report.node} ${writeSettings(settings)}`}</span></summary>
          <div class="stack settings-body">
            <SettingsFields port={port} />
            {!isClosed && <div><button type="submit">Apply</button></div>}
          </div>
        </details>
        <div class="row">
          {/* Two buttons: one that turned from the other while it is clicked would send the form. */}
          {isClosed ? <button key="open" type="submit" class="primary">Open</button> : <button key="close" type="button" onClick={() => { void line.current?.close(); }}>Close</button>}
          <span class="small muted" role="status">{note}</span>
        </div>
        {(problem !== "" || report.problem !== "") && <p class="note bad" role="alert">{problem === "" ? report.problem : problem}</p>}
      </form>
      {isOpen && line.current !== undefined && <ControlLines line={line.current} onProblem={setProblem} />}
      <section class="stack" aria-label="Console">
        <div class="row">
          <fieldset class="row choice">
            <legend class="tools">Show as</legend>
            {(["text", "hex"] as const).map((each) => (
              <label key={each} class="row"><input type="radio" name="view" checked={view === each} onChange={() => { setView(each); }} />{each === "text" ? "Text" : "Hex"}</label>
            ))}
          </fieldset>
          <button type="button" onClick={() => { void copy(); }}>Copy</button>
          <button type="button" onClick={clear}>Clear</button>
          <span class="small muted number" aria-label="Bytes so far">◂ {formatBytes(log.current.countOf("in"))} ▸ {formatBytes(log.current.countOf("out"))}</span>
        </div>
        <div class="screen serial" ref={place} data-keys hidden={view !== "text"} />
        {view === "hex" && <BytesView log={log.current} version={version} onWidth={setWidth} />}
        <div class="row">
          <label class="row small">Enter sends
            <select value={end} onChange={(event) => { setEnd(event.currentTarget.value as LineEnd); }}>
              <option value="cr">CR</option><option value="lf">LF</option><option value="crlf">CR LF</option><option value="none">nothing</option>
            </select>
          </label>
          <label class="row small"><input type="checkbox" checked={echoes} onChange={(event) => { setEcho(event.currentTarget.checked); }} /> show what I type</label>
          <label class="row small"><input type="checkbox" checked={newLines} onChange={(event) => { setNewLines(event.currentTarget.checked); }} /> LF begins a line</label>
        </div>
        <SendForm view={view} isOpen={isOpen} onText={(text) => { type(text + "\r"); }} onBytes={(data) => { line.current?.write(data); }} />
      </section>
    </>
  );
}

/** Renders again each second, so that times that are shown are right. */
function useSeconds(isActive: boolean): void {
  const [, setCount] = useState(0);
  useEffect(() => {
    if (!isActive) return undefined;
    const timer = setInterval(() => { setCount((before) => before + 1); }, 1000);
    return () => { clearInterval(timer); };
  }, [isActive]);
}

function SettingsFields({ port }: { readonly port: string }) {
  const [kept] = useState(() => recallSettings(localStorage, port));
  return (
    <div class="settings">
      <label>Baud rate
        <input name="baudrate" type="number" min={1} max={2 ** 31 - 1} required defaultValue={String(kept.baudrate)} list="baud-rates" />
        <datalist id="baud-rates">{BAUD_RATES.map((each) => <option key={each} value={each} />)}</datalist>
      </label>
      <label>Data bits<select name="bytesize" defaultValue={String(kept.bytesize)}>{DATA_BITS.map((each) => <option key={each} value={each}>{each}</option>)}</select></label>
      <label>Parity<select name="parity" defaultValue={kept.parity}>{Object.entries(PARITIES).map(([letter, text]) => <option key={letter} value={letter}>{text}</option>)}</select></label>
      <label>Stop bits<select name="stopbits" defaultValue={String(kept.stopbits)}>{STOP_BITS.map((each) => <option key={each} value={each}>{each}</option>)}</select></label>
      <fieldset>
        <legend>Flow control</legend>
        {Object.entries(FLOW_CONTROLS).map(([name, text]) => (
          <label key={name} class="row"><input type="checkbox" name={name} defaultChecked={kept[name as keyof typeof FLOW_CONTROLS]} />{text}</label>
        ))}
      </fieldset>
    </div>
  );
}

/** How often the lines are read, in milliseconds. */
const LINES_MS = 1000;

function ControlLines({ line, onProblem }: { readonly line: SerialLine; readonly onProblem: (text: string) => void }) {
  const [lines, setLines] = useState<SerialLines>();
  const [isGone, setGone] = useState(false);
  const hasLines = lines !== undefined && lines.cts !== null;
  useEffect(() => {
    let isOver = false;
    const read = (): void => {
      line.readLines().then(
        (found) => { if (!isOver && found !== undefined) setLines(found); },
        () => { setGone(true); }, // Whoever reads the port tells what has become of it.
      );
    };
    read();
    const timer = hasLines && !isGone ? setInterval(read, LINES_MS) : undefined;
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [line, hasLines, isGone]);
  if (lines === undefined) return null;
  const act = (work: Promise<void>): void => { work.catch((error: unknown) => { onProblem(tell(error)); }); };
  const set = (name: "dtr" | "rts", isOn: boolean): void => {
    setLines({ ...lines, [name]: isOn });
    act(line.setLines({ [name]: isOn }));
  };
  if (!hasLines) return <p class="small muted">This port has no control lines.</p>;
  return (
    <div class="row small" role="group" aria-label="Control lines">
      {(["dtr", "rts"] as const).map((name) => (
        <label key={name} class="row"><input type="checkbox" checked={lines[name] === true} onChange={(event) => { set(name, event.currentTarget.checked); }} />{name.toUpperCase()}</label>
      ))}
      {(["cts", "dsr", "ri", "cd"] as const).map((name) => (
        <span key={name} class={`tag ${lines[name] === true ? "good" : ""}`}>{name.toUpperCase()} {lines[name] === null ? "unknown" : lines[name] ? "on" : "off"}</span>
      ))}
      <button type="button" onClick={() => { act(line.sendBreak()); }}>Send a break</button>
    </div>
  );
}

interface SendFormProps {
  readonly view: View;
  readonly isOpen: boolean;
  readonly onText: (text: string) => void;
  readonly onBytes: (data: Uint8Array) => void;
}

function SendForm({ view, isOpen, onText, onBytes }: SendFormProps) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const send = (event: Event): void => {
    event.preventDefault();
    setProblem("");
    try {
      if (view === "hex") onBytes(readHex(text));
      else onText(text);
      setText("");
    } catch (error) {
      setProblem(tell(error));
    }
  };
  return (
    <form class="stack" onSubmit={send} aria-label="Send">
      <div class="row">
        <input class="grow mono" autocomplete="off" spellcheck={false} value={text} aria-label={view === "hex" ? "Bytes to send" : "Line to send"} aria-invalid={problem !== ""}
          placeholder={view === "hex" ? "Bytes, such as 41 54 0d" : "A line; or type into the terminal"} onInput={(event) => { setText(event.currentTarget.value); }} />
        <button type="submit" disabled={!isOpen}>Send</button>
      </div>
      {problem !== "" && <p class="note bad" role="alert">{problem}</p>}
    </form>
  );
}
