// What both sides' workers do at the bank: a transfer by fetch, a look at it and a note by node:https.
import https from "node:https";
import { json } from "node:stream/consumers";

const BANK = "https://api.bank.example";

async function taken(response) {
  if (!response.ok) throw new Error(`the bank answered ${response.status} ${await response.text()}`);
  return response.json();
}

function asked(method, path, body) {
  return new Promise((done, failed) => {
    const request = https.request(`${BANK}${path}`, { method, headers: { "content-type": "application/json" } }, async (response) => {
      const answer = await json(response);
      if (response.statusCode < 300) done(answer);
      else failed(new Error(`the bank answered ${response.statusCode} ${JSON.stringify(answer)}`));
    });
    request.on("error", failed);
    request.end(body && JSON.stringify(body));
  });
}

export const pay = {
  transfer: async (request, amount) => {
    const body = JSON.stringify({ request, amount });
    const headers = { "content-type": "application/json" };
    return (await taken(await fetch(`${BANK}/v1/transfers`, { method: "POST", body, headers }))).id;
  },
  lookUp: (transfer) => asked("GET", `/v1/transfers/${transfer}`),
  note: (transfer, amount) => asked("POST", "/v1/notes", { transfer, text: `paid ${amount}` }),
};
