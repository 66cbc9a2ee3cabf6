// What libraries say of signatures, each by itself: Node's, and noble's in both of its ways.

import { createPublicKey, verify } from "node:crypto";

import { ed25519 } from "@noble/curves/ed25519.js";

import { receive, say, stop, unhex } from "./talk.mjs";

const libraries = {
  node: (key, message, signature) => {
    const jwk = { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") };
    return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
  },
  strict: (key, message, signature) => ed25519.verify(signature, message, key, { zip215: false }),
  zip215: (key, message, signature) => ed25519.verify(signature, message, key, { zip215: true }),
};

for (const { public: key, message, signature } of (await receive()).cases) {
  const asked = [key, message, signature].map(unhex);
  const verdicts = Object.entries(libraries).map(([name, holds]) => [name, holds(...asked)]);
  say("judged", Object.fromEntries(verdicts));
}
stop();
