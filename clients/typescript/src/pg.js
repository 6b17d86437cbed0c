import { AsyncResource } from "node:async_hooks";
import { currentRun, marksOf } from "./run.js";

const MARK = "SELECT pg_catalog.pg_logical_emit_message(true, 'shadow', $1)";
const READING = /^(select|show|table|values|explain|fetch|set|reset|listen|declare)\b/;
const ALONE = /^(insert|update|delete|merge|select|with)\b/;
const PURE = new Set(
  (
    "and any array as avg by cast coalesce count current_setting date_part date_trunc distinct exists extract filter " +
    "from greatest in interval is json_agg json_build_object jsonb_agg jsonb_build_object join least length limit " +
    "lower max min nextval not now nullif numeric on or order over row_number select string_agg sum then to_char " +
    "union upper using values varchar when where"
  ).split(" "),
);
const captured = new WeakSet();

/** The same client or pool of `pg`: in runs, each transaction that may write says to the server whose it is. */
export function capturedPg(given) {
  if (captured.has(given)) return given;
  captured.add(given);
  if (typeof given.connect === "function" && typeof given.totalCount === "number") {
    capturePool(given);
  } else {
    captureClient(given);
  }
  return given;
}

function capturePool(pool) {
  pool.on("connect", captureClient);
  const connect = pool.connect.bind(pool);
  // Who waited for a client is called by whoever gives one back: it has to be in its own run all the same.
  pool.connect = (callback) => connect(callback && AsyncResource.bind(callback));
}

function captureClient(client) {
  const query = client.query.bind(client);
  // Queries are queued in the order in which they are asked for, so the words of those queued say what state it is in.
  let open = false;
  let readOnly = false;
  let marked = null;

  client.query = (...given) => {
    const text = typeof given[0] === "string" ? given[0] : given[0]?.text;
    if (typeof text !== "string" || typeof given[0]?.submit === "function") return query(...given);
    const bare = words(text);
    const run = currentRun();
    const ending = follow(bare);
    if (!run || ending || !mayWrite(bare) || readOnly) return query(...given);
    if (open) {
      if (marked !== run) mark(run);
      return query(...given);
    }
    return ALONE.test(bare) && !bare.includes(";") ? alone(run, given) : query(...given);
  };

  function follow(bare) {
    if (/^(begin|start transaction)\b/.test(bare)) {
      open = true;
      readOnly = bare.includes("read only");
      marked = null;
    } else if (/^rollback( work| transaction)? to\b/.test(bare)) marked = null;
    else if (/^(commit|end|rollback|abort)\b/.test(bare)) open = readOnly = false;
    else return /^(savepoint|release)\b/.test(bare);
    return true;
  }

  function mark(run) {
    marked = run;
    query(MARK, [JSON.stringify(marksOf(run))]).catch(() => {}); // the statement after it says what is wrong
  }

  /** A statement by itself gets a transaction, so that the mark and what it changes are in the same. */
  function alone(run, given) {
    const callback = typeof given.at(-1) === "function" ? given.pop() : undefined;
    const begun = query("BEGIN");
    begun.catch(() => {});
    mark(run);
    marked = null;
    const done = query(...given);
    const ended = query("COMMIT"); // of a transaction that has failed the server makes a rollback
    ended.catch(() => {});
    const both = done.then(
      (result) => ended.then(() => result),
      (error) => ended.then(() => Promise.reject(error)),
    );
    if (!callback) return both;
    both.then((result) => callback(null, result), callback);
    return undefined;
  }
}

/** A statement without its comments and texts, in lower case. */
function words(text) {
  return text
    .replace(/--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|\$(\w*)\$[\s\S]*?\$\1\$/g, " ")
    .replace(/\s+/g, " ")
    .trim()
    .replace(/;$/, "")
    .trim()
    .toLowerCase();
}

function mayWrite(bare) {
  if (!READING.test(bare) || bare.includes(";")) return bare !== "";
  if (/^explain\b.*\banaly[sz]e\b/.test(bare)) return true;
  if (!/^(select|table|values|explain|declare)\b/.test(bare)) return false;
  return [...bare.matchAll(/([\w$"]+) ?\(/g)].some(([, name]) => !PURE.has(name));
}
