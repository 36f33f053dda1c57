/** What has become of a command on many nodes: what is alike is shown once. */

import type { Executed } from "@remote-services/client";
import { compareNaturally } from "../../roster.ts";
import { contentOf, isOpen, type CommandRun, type Member, type MemberState } from "./command.ts";
import { foldAnswers, foldNames, titleOfFold, type Fold } from "./folding.ts";

const LOOKS: Readonly<Record<MemberState, string>> = {
  waiting: "", running: "accent", ok: "good", error: "bad", refused: "bad", gone: "bad", died: "bad", timeout: "warn", cancelled: "warn", unknown: "bad",
};

/** What the states mean, for people. */
const WORDS: Readonly<Record<MemberState, string>> = {
  waiting: "nothing has come from it yet", running: "it runs there", ok: "the program has ended with code 0", error: "the program has failed, or could not run",
  refused: "the node has declined", gone: "the node was not there", died: "the node has died or left meanwhile", timeout: "the time was over before",
  cancelled: "it was not wanted any more", unknown: "no node has this name",
};

const RAN: Readonly<Record<Executed, string>> = {
  no: "it has not run", yes: "it has run, or begun", unknown: "it is not known whether it has run",
};

/** Shows the outcomes of all nodes. */
export function OutcomesView({ run }: { readonly run: CommandRun }) {
  const { members } = run;
  const left = members.filter(isOpen);
  const counts = new Map<MemberState, number>();
  for (const { state } of members) counts.set(state, (counts.get(state) ?? 0) + 1);
  const words = { running: "running", done: "done", stopped: "cancelled", failed: "failed" }[run.state];
  const look = { running: "accent", done: "good", stopped: "warn", failed: "bad" }[run.state];
  return (
    <section class="stack" aria-label="Outcomes">
      <div class="row" role="status">
        <h2>Outcomes</h2>
        <span class={`tag ${look}`}>{words}</span>
        {members.length > 0 && <span class="small">{members.length - left.length} of {members.length} nodes have ended</span>}
        {[...counts].map(([state, count]) => <span key={state} class={`tag ${LOOKS[state]}`} title={WORDS[state]}>{count} {state}</span>)}
      </div>
      {run.state === "running" && members.length > 0 && (
        <label class="small muted wait"><progress max={members.length} value={members.length - left.length} />
          <span class="cut">waiting for {foldNames(left.map((member) => member.name))}</span></label>
      )}
      {run.problem !== "" && <p class="note bad" role="alert">{run.problem}</p>}
      {!run.isSettled && <p class="note warn">The server was not sure of its nodes when it began: some may be missing here.</p>}
      {foldAnswers(members, (member) => member.name, contentOf).map((fold) => <FoldView key={fold.names[0]} fold={fold} />)}
      {members.length > 0 && <EachNode members={members} />}
    </section>
  );
}

function FoldView({ fold }: { readonly fold: Fold<Member> }) {
  const { state, stdout, stderr, hidden, lost, end, problem, executed } = fold.answer;
  const title = titleOfFold(fold);
  return (
    <article class="card fold" aria-label={title}>
      <div class="row">
        <h3 class="mono title" title={fold.names.join(", ")}>{title}</h3>
        <span class={`tag ${LOOKS[state]}`} title={WORDS[state]}>{state}</span>
        {end !== "" && <span class="tag">{end}</span>}
        {executed !== undefined && state !== "ok" && <span class="small muted">{RAN[executed]}</span>}
      </div>
      {problem !== "" && <p class="small problem">{problem}</p>}
      {stdout !== "" && <pre class="output" tabIndex={0} aria-label={`Output of ${title}`}>{stdout}</pre>}
      {stderr !== "" && <pre class="output errors" tabIndex={0} aria-label={`Errors of ${title}`}>{stderr}</pre>}
      {hidden > 0 && <p class="small muted">It has written {hidden} characters more, which are not shown.</p>}
      {lost > 0 && <p class="small problem">{lost} pieces of its output have been lost on the way.</p>}
    </article>
  );
}

function EachNode({ members }: { readonly members: readonly Member[] }) {
  const sorted = [...members].sort((one, other) => compareNaturally(one.name, other.name));
  return (
    <details>
      <summary class="small muted">Each node</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="Outcome of each node">
        <table class="outcome-table">
          <thead><tr><th>Node</th><th>Outcome</th><th>Program</th><th>Executed</th><th class="number">Took</th></tr></thead>
          <tbody>
            {sorted.map((member) => (
              <tr key={member.name}>
                <td>{member.name}</td>
                <td><span class={`tag ${LOOKS[member.state]}`} title={WORDS[member.state]}>{member.state}</span></td>
                <td>{member.end}</td>
                <td>{member.executed ?? ""}</td>
                <td class="number">{member.durationS === undefined ? "" : `${member.durationS.toFixed(2)} s`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
