import { defineConfig } from "vitest/config";
import { alias } from "./vite.config.ts";

export default defineConfig({
  resolve: { alias },
  test: { testTimeout: 60_000, hookTimeout: 60_000, pool: "threads", maxWorkers: 1, reporters: ["default"] },
});
