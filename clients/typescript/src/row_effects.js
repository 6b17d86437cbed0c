import { randomUUID } from "node:crypto";
import { UNKNOWN, resolved } from "./statements.js";

/** Rows of one database as effects of kind `sql`; the same as of the Python package (`shadow/capture/row_effects.py`). */
export class RowEffects {
  /** `target`: the database's name, the same on both sides. `keys`: table to the columns that say which row it is. */
  constructor(target, keys = {}) {
    this.target = target;
    this.keys = keys;
  }

  /** Of a statement whose rows are known from what was sent. */
  written(statement, parameters) {
    return resolved(statement.rows, parameters).map((row) => this.#row(statement, pairs(statement.columns, row)));
  }

  /** Of a statement whose rows the server returned. */
  returned(statement, parameters, rows) {
    const sent = resolved(statement.rows, parameters);
    const before = sent.length === 1 ? pairs(statement.columns, sent[0]) : {};
    for (const name of Object.keys(before)) if (before[name] === UNKNOWN) delete before[name];
    return rows.map((row) => this.#row(statement, { ...before, ...row }));
  }

  /** Of a statement that was not understood, or whose rows nobody can name; none when it changed nothing. */
  statement(statement, text, affected) {
    if (affected === 0) return [];
    const operation = statement.table ? `${statement.verb} ${statement.table}` : statement.verb;
    return [this.#effect(operation, null, { statement: text.trim().split(/\s+/).join(" "), rows: affected })];
  }

  #effect(operation, identity, data) {
    const effect = {
      id: randomUUID(),
      kind: "sql",
      target: this.target,
      operation,
      data: plain(data),
      occurred_at: moment(new Date()),
    };
    return identity === null ? effect : { ...effect, identity };
  }

  #row(statement, row) {
    const table = statement.table ?? "";
    let key = this.keys[table] ?? [];
    if (!key.length) key = statement.conflict.length ? statement.conflict : "id" in row ? ["id"] : [];
    const whole = statement.verb === "delete" ? !key.length : !statement.columns.length;
    const names = whole ? Object.keys(row) : [...new Set([...key, ...statement.columns])];
    const data = Object.fromEntries(names.filter((name) => name in row && row[name] !== UNKNOWN).map((name) => [name, row[name]]));
    const parts = key.filter((name) => name in row && row[name] !== UNKNOWN).map((name) => String(plain(row[name])));
    return this.#effect(`${statement.verb} ${table}`, key.length && parts.length === key.length ? parts.join(":") : null, data);
  }
}

function pairs(names, values) {
  return Object.fromEntries(names.map((name, at) => [name, values[at]]));
}

/** A value of a column as JSON has it. */
export function plain(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== "object") return value;
  if (value instanceof Date) return moment(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value.toJSON === "function") return plain(value.toJSON());
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

function moment(date) {
  return date.toISOString().replace(/(?:\.000|(\.\d{3}))Z$/, (_all, part) => (part ? `${part}000+00:00` : "+00:00"));
}

const TYPES = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, oid: 26, json: 114, float4: 700, float8: 701, date: 1082, interval: 1186, numeric: 1700, jsonb: 3802 };
export const INTEGERS = new Set([TYPES.int2, TYPES.int4, TYPES.int8, TYPES.oid]);
const TIMES = new Set([1083, 1114, 1184, 1266]);
const AS_THEY_ARE = new Set([TYPES.date, TYPES.numeric]);
const UNITS = { years: 31_536_000, months: 2_592_000, days: 86_400, hours: 3600, minutes: 60, seconds: 1, milliseconds: 0.001 };

/** What the server returned as text, as JSON has it: no digit is lost, whatever parsers the worker has set. */
export function decoded(type, text, parse) {
  if (text === null) return null;
  if (type === TYPES.bool) return text === "t";
  if (INTEGERS.has(type)) return Number.isSafeInteger(Number(text)) ? Number(text) : text;
  if (type === TYPES.float4 || type === TYPES.float8) return Number.isFinite(Number(text)) ? Number(text) : text;
  if (type === TYPES.json || type === TYPES.jsonb) return JSON.parse(text);
  if (type === TYPES.bytea) return Buffer.from(text.slice(2), "hex").toString("base64");
  if (AS_THEY_ARE.has(type)) return text;
  if (TIMES.has(type)) {
    return text
      .replace(" ", "T")
      .replace(/\.(\d+)/, (_all, digits) => `.${digits.padEnd(6, "0")}`)
      .replace(/([+-]\d\d)$/, "$1:00");
  }
  const value = parse(text);
  if (type !== TYPES.interval || typeof value !== "object") return plain(value);
  return Object.entries(UNITS).reduce((seconds, [unit, each]) => seconds + (value[unit] ?? 0) * each, 0);
}
