// Writes each panel of the dashboards as a typed TypeScript constant, so that tsc checks it against schema.ts.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const from = new URL("../dashboards/", import.meta.url);
const to = new URL("generated/", import.meta.url);

rmSync(to, { recursive: true, force: true });
mkdirSync(to);
for (const file of readdirSync(from)) {
  const { panels, ...board } = JSON.parse(readFileSync(new URL(file, from), "utf-8"));
  const lines = [
    'import type { Board, Panels } from "../schema";',
    `export const board: Board = ${JSON.stringify(board, null, 1)};`,
    ...panels.map((one) => `/** ${one.title} */\nexport const panel${one.id}: Panels[${JSON.stringify(one.type)}] = ${JSON.stringify(one, null, 1)};`),
  ];
  writeFileSync(new URL(file.replace(".json", ".ts"), to), lines.join("\n"));
}
