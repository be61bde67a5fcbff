package codec

// usual is what the stock encoder and ours put before the values of a
// PeerConnection, but for the error. Nearly all frames look like that, and to know
// what comes next spares most of the scanning: a short message is decoded in half
// of the time.
var usual = [...]struct {
	before string
	key    key
}{
	{beforeSourceUUID, keySourceUUID},
	{beforeSourceName, keySourceName},
	{beforePeerUUID, keyPeerUUID},
	{beforeDescriptionType, keyDescriptionType},
	{beforeDescription, keyDescription},
}

// parseUsual is parse for a good frame that looks as usual, in printable ASCII. It
// takes no other one, good or bad: then it reports false, and f is void.
func (f *fields) parseUsual(frame []byte) bool {
	i := 0
	for _, field := range &usual {
		if !hasPrefix(frame[i:], field.before) {
			return false
		}
		i += len(field.before)
		value, ok := &f.values[field.key], false
		if field.key < numUUIDs {
			*value = span{i - 1, i + 37, 36}
			f.uuids[field.key], ok = parseCanonical(frame[i:min(i+36, len(frame))])
		} else {
			*value, ok = scanPrintable(frame, i-1)
		}
		if !ok {
			return false
		}
		i = value.end - 1
	}
	if !hasPrefix(frame[i:], beforeError) {
		return false
	}
	i += len(beforeError)
	value, ok := span{i, i + 4, 4}, hasPrefix(frame[i:], "null")
	if !ok && hasPrefix(frame[i:], `"`) {
		value, ok = scanPrintable(frame, i)
	}
	f.frame, f.messageType, f.values[keyError] = frame, typePeerConnection, value
	return ok && string(frame[value.end:]) == afterError
}

// scanPrintable scans the string whose opening quote is at start, if it is a good
// one in printable ASCII.
func scanPrintable(frame []byte, start int) (value span, ok bool) {
	i := start + 1
	size := -i
	for {
		n := printable(frame[i:min(i+nearText, len(frame))])
		if i += n; n == nearText {
			i += printableBytes(frame[i:])
		}
		if i < len(frame) && frame[i] == '"' {
			return span{start, i + 1, size + i}, true
		}
		if i >= len(frame) || frame[i] != '\\' {
			return value, false
		}
		for i < len(frame) && frame[i] == '\\' {
			n, decoded := len(`\\r\\n`), len(`\r\n`)
			if !hasPrefix(frame[i:], `\\r\\n`) {
				n, decoded = scanEscape(frame, i)
			}
			if n == 0 {
				return value, false
			}
			i, size = i+n, size-n+decoded
		}
	}
}
