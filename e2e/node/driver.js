// Calls the second vendor's Node SDK for the tests: one JSON object a line on standard input, one answer a line on
// standard output. It stays for the whole run, because starting Node and loading the SDK takes longer than most tests.
//
// A line is {endpoint, key, secret, token, method, request, path, fields}: the SDK's method, the name of its request
// class if it takes one, the values of the path in the SDK's order, and the fields of the request by their wire names.
"use strict";

const readline = require("readline");
const SDK = require("@alicloud/cs20151215");
const { $OpenApiUtil } = require("@alicloud/openapi-core");

const clients = new Map();

function client({ endpoint, key, secret, token }) {
  const name = JSON.stringify([endpoint, key, secret, token]);
  if (!clients.has(name)) {
    const config = { endpoint, accessKeyId: key, accessKeySecret: secret, protocol: "HTTP", regionId: "cn-hangzhou" };
    // The SDK's own three seconds are too few on a machine that builds and tests at the same time.
    Object.assign(config, { connectTimeout: 10000, readTimeout: 10000 }, token ? { securityToken: token } : {});
    clients.set(name, new SDK.default(new $OpenApiUtil.Config(config)));
  }
  return clients.get(name);
}

// Fills one of the SDK's classes from wire names, by the SDK's own tables. What it does not know cannot be sent.
function model(type, fields) {
  const values = {};
  const types = type.types();
  for (const [property, wire] of Object.entries(type.names())) {
    if (!(wire in fields)) continue;
    const item = types[property].itemType;
    const isModel = Array.isArray(fields[wire]) && typeof item === "function";
    values[property] = isModel ? fields[wire].map((one) => model(item, one)) : fields[wire];
  }
  return new type(values);
}

async function call(order) {
  const values = [...order.path];
  if (order.request) values.push(model(SDK[order.request], order.fields));
  const answer = (await client(order)[order.method](...values)).toMap();
  return { status: answer.statusCode, headers: answer.headers, body: answer.body };
}

function failure(error) {
  const { code, message, statusCode, requestId, accessDeniedDetail } = error;
  return { error: { name: error.name, code, message, status: statusCode, request_id: requestId, detail: accessDeniedDetail } };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await call(JSON.parse(line)).catch(failure);
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

main();
