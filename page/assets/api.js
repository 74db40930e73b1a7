// Calls of the broker: one place that knows addresses, tokens and how an error looks. Nothing is shown here.

const ROOT = '/console/api/';
const WRITE = 'lockstep.write';
const READ = 'lockstep.bearer';

/** An answer that was not the one asked for; `message` says what to do. */
export class ApiError extends Error {
  constructor(status, code, rule, message) {
    super(message);
    this.status = status;
    this.code = code;
    this.rule = rule;
  }
}

/** Keeps the token that the link carried, and takes it out of the address and of the history. */
export function takeToken() {
  const found = /^#token=([^&]+)&?(.*)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(WRITE, decodeURIComponent(found[1]));
  history.replaceState(null, '', location.pathname + location.search + (found[2] ? `#${found[2]}` : ''));
}

export const hasWriteToken = () => sessionStorage.getItem(WRITE) !== null || sessionStorage.getItem(READ) !== null;
export const setBearer = (token) => sessionStorage.setItem(READ, token);

/** The headers of every read: where the broker has tokens, the one of the link is enough. */
export function readHeaders() {
  const [bearer, token] = [sessionStorage.getItem(READ), sessionStorage.getItem(WRITE)];
  return { ...(bearer ? { authorization: `Bearer ${bearer}` } : {}), ...(token ? { 'lockstep-console': token } : {}) };
}

function writeHeaders() {
  return { ...readHeaders(), 'content-type': 'application/json' };
}

/** The address of a call; what is absent is left out. */
export function address(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const query = new URLSearchParams(given).toString();
  return ROOT + path + (query ? `?${query}` : '');
}

/** What a refusal says, whoever wrote it: the broker, or a proxy that knows no JSON. */
export async function errorOf(response) {
  const text = await response.text().catch(() => '');
  try {
    const { code, rule, message } = JSON.parse(text).error;
    return new ApiError(response.status, code, rule ?? null, message);
  } catch {
    return new ApiError(response.status, 'HTTP', null, text.trim().slice(0, 300) || `the broker answered ${response.status}`);
  }
}

async function call(path, init) {
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', ...init });
  } catch {
    throw new ApiError(0, 'AWAY', null, 'The broker does not answer. Is it running?');
  }
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

export const get = (path, parameters, signal) => call(address(path, parameters), { headers: readHeaders(), signal });
export const post = (path, body) =>
  call(address(path), { method: 'POST', headers: writeHeaders(), body: JSON.stringify(body) });
