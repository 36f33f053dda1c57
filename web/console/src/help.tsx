/** The list of keys. */

import { useEffect, useRef } from "preact/hooks";
import type { Shortcut } from "./shortcuts.ts";

/** Shows what the keys do. */
export function HelpDialog({ shortcuts, onClose }: { readonly shortcuts: readonly Shortcut[]; readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => { dialog.current?.showModal(); }, []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="keys-title">
      <div class="stack">
        <h2 id="keys-title">Keys</h2>
        <dl class="keys">
          {shortcuts.map((each) => [
            <dt key={`${each.keys} key`}>{each.keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>,
            <dd key={each.keys}>{each.text}</dd>,
          ])}
          <dt><kbd>Tab</kbd></dt><dd>next field or button</dd>
          <dt><kbd>Esc</kbd></dt><dd>close</dd>
        </dl>
        <form method="dialog" class="row"><button class="primary">Close</button></form>
      </div>
    </dialog>
  );
}
