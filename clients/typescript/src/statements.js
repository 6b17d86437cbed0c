/**
 * Reading SQL as workers send it: whether it may write, and which rows of which table. No I/O.
 *
 * The same reading as of the Python package (`shadow/capture/statements.py`): both sides' workers report a row alike.
 * Not a parser of SQL: what it does not understand it says so of, and the caller reports the bare statement.
 */

const TOKEN =
  /(?<space>\s+|--[^\n]*|\/\*[\s\S]*?\*\/)|(?<parameter>\$\d+)|(?<text>[eE]?'(?:[^']|'')*'|\$(?<tag>\w*)\$[\s\S]*?\$\k<tag>\$)|(?<quoted>"(?:[^"]|"")*")|(?<number>\d+(?:\.\d+)?)|(?<word>[A-Za-z_][\w$]*)|(?<sign>::|[-+*/<>=~!@#^&|`?]+|[\s\S])/g;
const KINDS = ["space", "parameter", "text", "quoted", "number", "word", "sign"];
/** What may stand before a parenthesis in a statement that only reads. */
const PURE = new Set(
  (
    "and any array as avg by cast coalesce count current_setting date_part date_trunc distinct exists extract filter " +
    "from greatest in interval is json_agg json_build_object jsonb_agg jsonb_build_object join least length limit " +
    "lower max min nextval not now nullif numeric on or order over row_number select string_agg sum then to_char " +
    "union upper using values varchar when where"
  ).split(" "),
);
const READING = new Set("select show table values explain fetch set reset listen declare".split(" "));
const QUIET = new Set(["set", "reset", "show", "listen", "begin", "start", "release", "fetch", ""]);
const ROW_WRITING = new Set("insert upsert update delete merge copy truncate".split(" "));
const ALONE = new Set("insert update delete merge select with copy truncate".split(" "));
const ENDING = new Map([["commit", "commit"], ["end", "commit"], ["rollback", "rollback"], ["abort", "rollback"], ["savepoint", "savepoint"]]);
const WORDS = new Map([["null", null], ["true", true], ["false", false]]);
const MOST_KNOWN = 1024;

/** A value that only the server knows. */
export const UNKNOWN = Symbol("unknown");

/** A value that is sent beside the statement, by its position. */
export class Parameter {
  constructor(position) {
    this.position = position;
  }
}

class NotUnderstood extends Error {}

const known = new Map();

/**
 * What a statement is: `verb` (its first word, or `upsert`), `writes` (whether it may change something), `table`,
 * `columns` that it sets, `rows` (the values of these), `conflict` (the columns of ON CONFLICT), `maySkip` (whether it
 * may leave out rows), `returning` (whether it has one), `alone` (whether it can be put into a transaction of its own),
 * `begins` and `ends` of transactions, `savepoint`, `writesRows`, `knowsRows` (without asking the server).
 */
export function read(text) {
  let statement = known.get(text);
  if (!statement) {
    statement = whole(reading(tokensOf(text)));
    if (known.size >= MOST_KNOWN) known.delete(known.keys().next().value);
    known.set(text, statement);
  }
  return statement;
}

/** The rows with what was sent in the place of parameters. */
export function resolved(rows, parameters = []) {
  return rows.map((row) =>
    row.map((value) => {
      if (!(value instanceof Parameter)) return value;
      return value.position < parameters.length ? parameters[value.position] : UNKNOWN;
    }),
  );
}

function whole(given) {
  const statement = {
    table: null, columns: [], rows: [], conflict: [], maySkip: false, returning: false, alone: false,
    begins: null, ends: null, savepoint: null, ...given,
  };
  statement.writesRows = ROW_WRITING.has(statement.verb) || (statement.verb === "with" && statement.table !== null);
  statement.knowsRows = statement.rows.length > 0 && !statement.maySkip && statement.rows.every((row) => !row.includes(UNKNOWN));
  return statement;
}

function reading(tokens) {
  const first = tokens[0]?.low ?? "";
  const several = tokens.some((token) => token.text === ";");
  if (ENDING.has(first)) return ending(first, tokens);
  if (!mayWrite(first, tokens, several)) return { verb: first, writes: false, begins: beginning(first, tokens) };
  const bare = { verb: first, writes: true, alone: ALONE.has(first) && !several };
  if (several) return bare;
  const reader = new Reader(tokens);
  try {
    if (first === "insert") return insert(reader, bare);
    if (first === "update") return update(reader, bare);
    if (first === "delete") return remove(reader, bare);
    if (["merge", "copy", "truncate"].includes(first)) return other(reader, bare);
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return bare;
  }
  const modifies = tokens.some((token) => ["insert", "update", "delete", "merge"].includes(token.low));
  return first === "with" && modifies ? { ...bare, table: "" } : bare;
}

function tokensOf(text) {
  const tokens = [];
  for (const { groups } of text.matchAll(TOKEN)) {
    const kind = KINDS.find((name) => groups[name] !== undefined);
    if (kind === "space") continue;
    const found = groups[kind];
    tokens.push({ kind, text: found, low: kind === "word" ? found.toLowerCase() : found });
  }
  while (tokens.at(-1)?.text === ";") tokens.pop();
  return tokens;
}

function mayWrite(first, tokens, several) {
  if (first === "with") return true;
  if (!READING.has(first) && !["begin", "start", "release", "(", ""].includes(first)) return true;
  if (several) return true;
  if (QUIET.has(first)) return false;
  const calls = tokens.some(
    (token, at) => tokens[at + 1]?.text === "(" && ["word", "quoted"].includes(token.kind) && !PURE.has(token.low),
  );
  return calls || (first === "explain" && tokens.some((token) => ["analyze", "analyse"].includes(token.low)));
}

function beginning(first, tokens) {
  if (first !== "begin" && !(first === "start" && tokens[1]?.low === "transaction")) return null;
  const readOnly = tokens.some((token, at) => token.low === "read" && tokens[at + 1]?.low === "only");
  return readOnly ? "read only" : "read write";
}

function ending(first, tokens) {
  let ends = ENDING.get(first);
  const words = tokens.map((token) => token.low);
  let savepoint = ends === "savepoint" && words.length > 1 ? words[1] : null;
  if (ends === "rollback" && words.includes("to")) [ends, savepoint] = ["rollback to", words.at(-1)];
  if (words.includes("prepared")) ends = "rollback"; // what is committed later, by whomever, is nobody's here
  return { verb: first, writes: false, ends, savepoint };
}

class Reader {
  at = 0;

  constructor(tokens) {
    this.tokens = tokens;
  }

  peek() {
    return this.tokens[this.at]?.low ?? "";
  }

  take() {
    if (this.at >= this.tokens.length) throw new NotUnderstood();
    return this.tokens[this.at++];
  }

  skip(...words) {
    if (this.at >= this.tokens.length || !words.includes(this.peek())) return false;
    this.at++;
    return true;
  }

  need(...words) {
    if (!this.skip(...words)) throw new NotUnderstood();
  }

  /** A column's or table's name, with its schema. */
  name() {
    const token = this.take();
    if (!["word", "quoted"].includes(token.kind)) throw new NotUnderstood();
    const found = token.kind === "quoted" ? token.text.replace(/^"+|"+$/g, "").replaceAll('""', '"') : token.low;
    return this.skip(".") ? `${found}.${this.name()}` : found;
  }

  alias(...until) {
    if (this.skip("as") || ![...until, ""].includes(this.peek())) this.take();
  }

  /** `(a, b)`. */
  names() {
    this.need("(");
    const found = [this.name()];
    while (this.skip(",")) found.push(this.name());
    this.need(")");
    return found;
  }

  /** `(x, y + 1, f(z))`, each as its tokens. */
  expressions() {
    this.need("(");
    const found = [[]];
    for (let depth = 0; depth || this.peek() !== ")"; ) {
      const token = this.take();
      if (token.kind === "sign") depth += "([".includes(token.text) - ")]".includes(token.text);
      if (token.text === "," && !depth) found.push([]);
      else found.at(-1).push(token);
    }
    this.need(")");
    return found;
  }

  /** Whether a word is among what is left, outside of parentheses. */
  has(word) {
    let depth = 0;
    for (const token of this.tokens.slice(this.at)) {
      depth += (token.text === "(") - (token.text === ")");
      if (!depth && token.low === word) return true;
    }
    return false;
  }
}

function insert(reader, bare) {
  reader.need("insert");
  reader.need("into");
  const table = reader.name();
  reader.alias("(", "values", "default", "select", "overriding", "with");
  if (reader.peek() !== "(") return { ...bare, table, returning: reader.has("returning") };
  const columns = reader.names();
  if (reader.skip("overriding")) {
    reader.take();
    reader.need("value");
  }
  const rows = [];
  if (reader.skip("values")) {
    do rows.push(reader.expressions().map(valueOf));
    while (reader.skip(","));
    if (rows.some((row) => row.length !== columns.length)) throw new NotUnderstood();
  } else {
    while (!["on", "returning", ""].includes(reader.peek())) reader.take();
  }
  const [conflict, verb, maySkip] = conflicting(reader);
  return { ...bare, verb, table, columns, rows, conflict, maySkip, returning: reader.has("returning") };
}

function conflicting(reader) {
  if (!reader.skip("on")) return [[], "insert", false];
  reader.need("conflict");
  let conflict = [];
  if (reader.peek() === "(") {
    const expressions = reader.expressions();
    if (expressions.every((tokens) => tokens.length === 1 && ["word", "quoted"].includes(tokens[0].kind))) {
      conflict = expressions.map(([token]) => token.text.replace(/^"+|"+$/g, ""));
    }
  }
  while (!reader.skip("do")) reader.take();
  return reader.skip("nothing") ? [conflict, "insert", true] : [conflict, "upsert", reader.has("where")];
}

function update(reader, bare) {
  reader.need("update");
  reader.skip("only");
  const table = reader.name();
  reader.alias("set");
  reader.need("set");
  const columns = [];
  do {
    columns.push(...(reader.peek() === "(" ? reader.names() : [reader.name()]));
    reader.need("=");
    for (let depth = 0; reader.peek(); ) {
      if (!depth && [",", "from", "where", "returning"].includes(reader.peek())) break;
      const { text } = reader.take();
      depth += (text === "(" || text === "[") - (text === ")" || text === "]");
    }
  } while (reader.skip(","));
  return { ...bare, table, columns, returning: reader.has("returning") };
}

function remove(reader, bare) {
  reader.need("delete");
  reader.need("from");
  reader.skip("only");
  return { ...bare, table: reader.name(), returning: reader.has("returning") };
}

function other(reader, bare) {
  reader.take();
  reader.skip("into", "table");
  reader.skip("only");
  const table = reader.name();
  if (bare.verb === "copy" && !reader.has("from")) return { ...bare, writes: false };
  return { ...bare, table, returning: true };
}

/** A value that stands there itself, whatever it is cast to; else it is the server's to say. */
function valueOf(tokens) {
  if (!tokens.length || (tokens.length > 1 && tokens[1].text !== "::")) {
    const negative = tokens.length === 2 && tokens[0].text === "-" && tokens[1].kind === "number";
    return negative ? Number(`-${tokens[1].text}`) : UNKNOWN;
  }
  const [token] = tokens;
  if (token.kind === "parameter") return new Parameter(Number(token.text.slice(1)) - 1);
  if (token.kind === "text" && token.text.startsWith("'") && !token.text.includes("\\")) {
    return token.text.slice(1, -1).replaceAll("''", "'");
  }
  if (token.kind === "number") return Number(token.text);
  return WORDS.has(token.low) ? WORDS.get(token.low) : UNKNOWN;
}
