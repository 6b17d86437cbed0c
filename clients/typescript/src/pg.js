import { AsyncResource } from "node:async_hooks";
import { INTEGERS, RowEffects, decoded } from "./row_effects.js";
import { currentRun, marksOf } from "./run.js";
import { read } from "./statements.js";
import { Transaction } from "./transaction.js";

const MARK = "SELECT pg_catalog.pg_logical_emit_message(true, 'shadow', $1)";
const ASKED = new Set(["insert", "upsert", "update", "delete"]);
const AS_TEXT = { getTypeParser: () => (text) => text };
const captured = new WeakSet();

/**
 * The same client or pool of `pg`. In runs, each transaction that may write says to the server whose it is (`messages`),
 * and what it wrote is told to Shadow (`reportRows`) once it is committed, before whoever asked for that has the answer.
 */
export function capturedPg(given, { reports, messages = true, reportRows = false, database, keys }) {
  if (captured.has(given)) return given;
  captured.add(given);
  const capture = (client) =>
    captureClient(client, { reports, messages, rows: reportRows ? new RowEffects(database ?? client.database, keys) : null });
  if (typeof given.connect === "function" && typeof given.totalCount === "number") capturePool(given, capture);
  else capture(given);
  return given;
}

function capturePool(pool, capture) {
  pool.on("connect", capture);
  const connect = pool.connect.bind(pool);
  // Who waited for a client is called by whoever gives one back: it has to be in its own run all the same.
  pool.connect = (callback) => connect(callback && AsyncResource.bind(callback));
}

function captureClient(client, { reports, messages, rows }) {
  const query = client.query.bind(client);
  // Queries are queued in the order in which they are asked for, so the words of those queued say what state it is in;
  // what they wrote is known when they are answered, which is in that order, too.
  let open = null;
  let readOnly = false;
  let marked = null;

  client.query = (...given) => {
    const [first, second] = given;
    const text = typeof first === "string" ? first : first?.text;
    if (typeof text !== "string" || typeof first?.submit === "function") return query(...given);
    const statement = read(text);
    const within = follow(statement);
    if (typeof first.callback === "function") return query(...given); // nobody could be told before it is called
    if (statement.ends && within && rows) return then(given, query, (result) => ended(within, statement, result));
    const run = currentRun();
    if (!run || statement.begins || statement.ends || !statement.writes || readOnly) return query(...given);
    const call = { run, statement, text, values: Array.isArray(second) ? second : first.values, name: first.name };
    if (open) {
      if (messages && marked !== run) mark(run);
      return rows ? then(given, asking(call), (result) => within.note(run, written(call, result))) : query(...given);
    }
    if (messages && statement.alone) return then(given, (...asked) => alone(call, asked), (result) => told(call, result));
    return rows ? then(given, asking(call), (result) => told(call, result)) : query(...given);
  };

  /** The transaction in which a statement is, which it may end. */
  function follow({ begins, ends }) {
    const within = open;
    if (begins && !open) {
      open = new Transaction();
      readOnly = begins === "read only";
      marked = null;
    } else if (ends === "rollback to") marked = null;
    else if (ends === "commit" || ends === "rollback") [open, readOnly] = [null, false];
    return within;
  }

  async function ended(transaction, { ends, savepoint }, result) {
    if (ends === "savepoint") transaction.savepoint(savepoint);
    else if (ends === "rollback to") transaction.backTo(savepoint);
    else if (ends === "commit" && result.command !== "ROLLBACK") {
      // of a transaction that has failed the server makes a rollback
      for (const [run, effects] of transaction.committed()) await reports.effects(run, effects);
    }
  }

  async function told(call, result) {
    if (rows) await reports.effects(call.run, written(call, result));
  }

  function mark(run) {
    marked = run;
    query(MARK, [JSON.stringify(marksOf(run))]).catch(() => {}); // the statement after it says what is wrong
  }

  /** A statement by itself gets a transaction, so that the mark and what it changes are in the same. */
  function alone(call, asked) {
    query("BEGIN").catch(() => {});
    mark(call.run);
    marked = null;
    const done = asking(call)(...asked);
    const committed = query("COMMIT");
    committed.catch(() => {});
    return done.then(
      (result) => committed.then(() => result),
      (error) => committed.then(() => Promise.reject(error)),
    );
  }

  /** What asks the query, and for its rows where only the server knows them. */
  function asking({ statement, text, values, name }) {
    const asks = rows && ASKED.has(statement.verb) && statement.table !== null && !statement.knowsRows && !statement.returning;
    if (!asks) return query;
    const config = {
      text: `${text.trimEnd().replace(/;+$/, "")}\nRETURNING *`,
      values,
      rowMode: "array",
      types: AS_TEXT,
      ...(name ? { name: `${name} returning` } : {}), // that name is of another text
    };
    return async () => {
      const result = await query(config);
      const { fields } = result;
      const parse = (type) => client.getTypeParser?.(type, "text") ?? String;
      result.shadow = result.rows.map((row) =>
        Object.fromEntries(fields.map(({ name: column, dataTypeID: type }, at) => [column, decoded(type, row[at], parse(type))])),
      );
      return Object.assign(result, { rows: [], fields: [] }); // as whoever asked expects it
    };
  }

  /** What a statement wrote, as effects. */
  function written({ statement, text, values }, result) {
    if (!statement.writesRows) return [];
    if (statement.knowsRows) return rows.written(statement, values);
    const returned = ASKED.has(statement.verb) && statement.table !== null ? returnedBy(result) : null;
    if (returned) return rows.returned(statement, values, returned);
    return rows.statement(statement, text, (Array.isArray(result) ? result[0] : result).rowCount ?? -1);
  }
}

/** The rows that a statement returned, in whatever shape; null when it returned none at all. */
function returnedBy(result) {
  if (result.shadow) return result.shadow;
  if (!result.fields?.length) return null;
  return result.rows.map((row) =>
    Object.fromEntries(
      result.fields.map(({ name, dataTypeID }, at) => {
        const value = Array.isArray(row) ? row[at] : row[name];
        return [name, INTEGERS.has(dataTypeID) && Number.isSafeInteger(Number(value ?? NaN)) ? Number(value) : value];
      }),
    ),
  );
}

/** Ask, and do something with the result before whoever asked has it, by promise or by callback. */
function then(given, ask, after) {
  const callback = typeof given.at(-1) === "function" ? given.at(-1) : null;
  const done = ask(...(callback ? given.slice(0, -1) : given)).then(async (result) => {
    await after(result);
    return result;
  });
  if (!callback) return done;
  done.then((result) => callback(null, result), callback);
  return undefined;
}
