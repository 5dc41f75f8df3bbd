// Sends three messages with node-hl7-client and prints the acknowledgements it understood.
"use strict";
const { Client, Message } = require('node-hl7-client');
const port = Number(process.argv[2]);
const wanted = 3, acknowledged = [];
const connection = new Client({ host: '127.0.0.1' }).createConnection({ port }, async (response) => {
  const message = response.getMessage();
  acknowledged.push([message.get('MSA.1').toString(), message.get('MSA.2').toString()]);
  if (acknowledged.length < wanted) return send(acknowledged.length);
  console.log(JSON.stringify(acknowledged));
  process.exit(0);
});
const send = (number) => connection.sendMessage(new Message({ text: [
  `MSH|^~\\&|NODE|TEST|SYNC|HERE|20261101083000||ADT^A08|NODE${number}|P|2.5.1`,
  'EVN|A08|20261101083000',
  `PID|1||NODE10${number}^^^GENHOSP^MR||Invented^Person||19700101|F|||||(217)555-0123^PRN^CP`,
].join('\r') }));
connection.on('error', (error) => { console.error(error.message); process.exit(1); });
connection.on('connect', () => send(0));
