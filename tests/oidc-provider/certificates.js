// X.509 certificates with P-256 keys, good for two days. Node reads certificates but makes none, and the packages that do bring a
// dozen more with them.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** An authority of this name. */
export function authority(name) {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return certify({ name, ...pair }, name, pair, extension('551d13', sequence(tlv(0x01, [0xff])), 'critical'));
}

/** A certificate for a server on this machine, from that authority. */
export function serverCertificate(issuer, name) {
  const places = sequence(tlv(0x87, [127, 0, 0, 1]), tlv(0x82, Buffer.from('localhost')));
  return leaf(issuer, name, SERVER_AUTH, extension('551d11', places));
}

/** A certificate for a client whose subject is `CN=<name>`, from that authority. */
export function clientCertificate(issuer, name) {
  return leaf(issuer, name, CLIENT_AUTH);
}

function leaf(issuer, name, usage, ...extensions) {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return certify(issuer, name, pair, extension('551d25', sequence(oid(usage))), ...extensions);
}

// RFC 5280, section 4.1.
function certify(issuer, name, { publicKey, privateKey }, ...extensions) {
  const day = 24 * 60 * 60 * 1000;
  const body = sequence(
    tlv(0xa0, tlv(0x02, [2])),
    tlv(0x02, [1, ...randomBytes(15)]),
    sequence(oid(ECDSA_SHA256)),
    commonName(issuer.name),
    sequence(time(Date.now() - day), time(Date.now() + day)),
    commonName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  );
  const signature = tlv(0x03, [0], sign('sha256', body, issuer.privateKey));
  const base64 = sequence(body, sequence(oid(ECDSA_SHA256)), signature).toString('base64');
  const pem = `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
  return { name, privateKey, pem };
}

function tlv(tag, ...parts) {
  const value = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const { length } = value;
  const prefix = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...prefix]), value]);
}

const sequence = (...parts) => tlv(0x30, ...parts);
const oid = (hex) => tlv(0x06, Buffer.from(hex, 'hex'));
const commonName = (name) => sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from(name)))));
const time = (at) => tlv(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
const extension = (id, value, critical) =>
  sequence(oid(id), ...(critical ? [tlv(0x01, [0xff])] : []), tlv(0x04, value));

const ECDSA_SHA256 = '2a8648ce3d040302';
const SERVER_AUTH = '2b06010505070301';
const CLIENT_AUTH = '2b06010505070302';
