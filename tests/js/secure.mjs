// The chat example under TLS, with a certificate of its own.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "selfsigned";
import { startServer } from "./server.mjs";

/** Starts it for the test `t`; gives the certificate that it shows as well. */
export async function startSecure(t) {
  const folder = mkdtempSync(join(tmpdir(), "partyrs-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const altNames = [{ type: 7, ip: "127.0.0.1" }];
  const pems = await generate([{ name: "commonName", value: "localhost" }], {
    keySize: 2048,
    extensions: [{ name: "subjectAltName", altNames }],
  });
  const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
  writeFileSync(certificate, pems.cert);
  writeFileSync(key, pems.private);
  const server = await startServer(t, "chat", { PARTYRS_TLS_CERT: certificate, PARTYRS_TLS_KEY: key });
  return { server, ca: pems.cert };
}
