// Reads the text of an event stream, however it is cut into pieces. Pure: no network, no page.

/**
 * A function that takes pieces of text and calls `onMessage({ event, id, data })` for each message that is whole.
 * Lines end with LF or CR LF. A message without data is dropped, as the standard has it; its id counts.
 */
export function makeParser(onMessage) {
  let rest = '';
  let data = [];
  let event = '';
  let id = null;

  function line(text) {
    if (text === '') {
      if (data.length > 0) onMessage({ event: event || 'message', id, data: data.join('\n') });
      data = [];
      event = '';
      return;
    }
    if (text.startsWith(':')) return;
    const colon = text.indexOf(':');
    const field = colon < 0 ? text : text.slice(0, colon);
    let value = colon < 0 ? '' : text.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  }

  return (text) => {
    rest += text;
    let begin = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', begin)) {
      line(rest.slice(begin, rest[end - 1] === '\r' && end > begin ? end - 1 : end));
      begin = end + 1;
    }
    rest = rest.slice(begin);
  };
}
