/** What whoever is not signed in sees. */

import { useState } from "preact/hooks";
import { enter, leave, publicDocument, signIn, type SignIn } from "./connection.ts";

/** Offers to sign in, and says why that is needed. */
export function SignInPage({ state }: { readonly state: Exclude<SignIn, { kind: "in" }> }) {
  const [token, setToken] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    void enter({ token: token.trim() });
    setToken("");
  };
  return (
    <main class="door">
      <div class="card stack">
        <div class="brand"><img src="./icon.svg" alt="" /><h1>remote-services</h1></div>
        {state.kind === "waiting" ? <Waiting reason={state.reason} /> : (
          <>
            {state.reason !== "" && <p class="note bad" role="alert">{state.reason}</p>}
            <form onSubmit={submit}>
              <label for="token">Token</label>
              <input id="token" type="password" required autocomplete="off" spellcheck={false} value={token}
                onInput={(event) => { setToken(event.currentTarget.value); }} />
              <div class="row"><button class="primary" type="submit">Sign in</button></div>
            </form>
            <div class="stack small">
              <p class="muted">The token is exchanged for a session of this tab, and not kept.</p>
              <p>Without a token, have an address printed that signs you in once:</p>
              <pre class="output">rpcserver console   # on the server{"\n"}rpcclient console   # from anywhere</pre>
              {publicDocument() !== undefined && <p><a href="./docs">Read about the methods</a> without signing in.</p>}
            </div>
          </>
        )}
      </div>
    </main>
  );
}

function Waiting({ reason }: { readonly reason: string }) {
  return (
    <>
      <p role="status">Waiting for the server{reason === "" ? " …" : "; it is called again and again."}</p>
      {reason !== "" && <p class="note warn">{reason}</p>}
      {reason !== "" && (
        <div class="row">
          <button type="button" onClick={() => { void giveUp(); }}>Sign in otherwise</button>
        </div>
      )}
    </>
  );
}

async function giveUp(): Promise<void> {
  await leave();
  signIn.set({ kind: "out", reason: "" });
}
