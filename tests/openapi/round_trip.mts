/**
 * A client whose types are generated from the document does the round trip of a user against a node:
 * node generated/round_trip.mjs URL
 */

import createClient from "openapi-fetch";
import type { components, paths } from "./generated/heyday.js";

type User = components["schemas"]["User"];
type Problem = components["schemas"]["Problem"];

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] });
const ada = { firstName: "Ada", email: `${crypto.randomUUID()}@example.com`, timezone: "Europe/London" };

function expect(what: string, found: unknown, expected: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, and found ${JSON.stringify(found)}`);
  }
}

function present<T>(what: string, value: T | undefined): T {
  if (value === undefined) {
    throw new Error(`${what}: expected a body`);
  }
  return value;
}

const created = await client.POST("/api/v1/users", { body: { ...ada, birthdayDate: "1815-12-10" } });
const user: User = present("create", created.data);
const tag = created.response.headers.get("ETag") ?? "";
expect("create", [created.response.status, user.birthdayDate, user.lastName], [201, "1815-12-10", null]);

const taken = await client.POST("/api/v1/users", { body: ada });
const problem: Problem = present("a taken address", taken.error);
expect("a taken address", [taken.response.status, problem.status], [409, 409]);

const path = { id: user.id };
const change = { params: { path, header: { "If-Match": tag } }, body: { firstName: "Augusta", birthdayDate: null } };
const changed = await client.PATCH("/api/v1/users/{id}", change);
expect("change", [changed.data?.firstName, changed.data?.birthdayDate], ["Augusta", null]);
expect("a stale change", (await client.PATCH("/api/v1/users/{id}", change)).response.status, 412);

const read = await client.GET("/api/v1/users/{id}", { params: { path } });
expect("read", read.data, changed.data);
const replaced = await client.PUT("/api/v1/users/{id}", { params: { path }, body: ada });
expect("replace", replaced.data?.firstName, "Ada");
const refused = await client.PUT("/api/v1/users/{id}", { params: { path }, body: { ...ada, email: "no address" } });
expect("a wrong address", refused.error?.errors?.map((error) => error.field), ["email"]);

const rows = Array.from({ length: 7 }, (_, n) => ({ ...ada, email: `${n}.${ada.email}`, timezone: "Asia/Tokyo" }));
const imported = await client.POST("/api/v1/users:import", {
  body: rows.map((row) => JSON.stringify(row)).join("\n"),
  bodySerializer: (body) => body,
  headers: { "Content-Type": "application/x-ndjson" },
  parseAs: "text",
});
const results = present("import", imported.data).trimEnd().split("\n");
expect("import", results.map((line) => JSON.parse(line).status), Array(7).fill(201));

const pages: number[] = [];
let cursor: string | null | undefined;
do {
  const query = { limit: 3, timezone: "Asia/Tokyo" as const, ...(cursor ? { cursor } : {}) };
  const page = present("page", (await client.GET("/api/v1/users", { params: { query } })).data);
  pages.push(page.items.length);
  cursor = page.nextCursor;
} while (cursor);
expect("pages", pages, [3, 3, 1]);

const messages = await client.GET("/api/v1/messages", { params: { query: { status: "failed", occasion: "birthday" } } });
expect("messages", messages.data?.items, []);
expect("delete", (await client.DELETE("/api/v1/users/{id}", { params: { path } })).response.status, 204);
expect("a deleted user", (await client.GET("/api/v1/users/{id}", { params: { path } })).response.status, 404);
console.log("The generated TypeScript client did the round trip.");
