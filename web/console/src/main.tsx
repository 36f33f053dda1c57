/** Starts the console. */

import { render } from "preact";
import { App } from "./app.tsx";
import { begin, followTickets } from "./connection.ts";
import { followAddress } from "./routes.ts";
import "./style/base.css";
import "./style/shell.css";
import { showTheme, theme } from "./theme.ts";

showTheme(theme.value);
const started = begin(); // It takes the ticket out of the address before anything else reads that.
followTickets(); // Before the pages read it, too.
followAddress();
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
void started;
