import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Where the sources of the client are: the console is built with them, and needs no built client. */
export const alias = [
  { find: /^@remote-services\/client$/, replacement: here("../client/src/index.ts") },
  { find: /^@remote-services\/client\/stubs\/(.*)$/, replacement: here("../client/src/stubs/$1.ts") },
];

export default defineConfig({
  root: here("."),
  base: "./", // Relative, for servers behind a proxy that gives them a prefix.
  resolve: { alias },
  build: {
    outDir: process.env["CONSOLE_FOLDER"] ?? here("../../rpcserver/console_files"),
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // Those know light-dark(), which would otherwise be spelt out twice.
    assetsInlineLimit: 0, // The policy of the server allows no data but in pictures.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    manifest: "manifest.json",
  },
});
