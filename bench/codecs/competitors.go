package codecs

import (
	"encoding/json"
	"reflect"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/encoder"
	gojson "github.com/goccy/go-json"

	"github.com/seed73300619/relay/bench/codecs/wire"
	"github.com/seed73300619/relay/codec"
)

var ours = wire.Codec[codec.PeerConnection]{
	Of:     func(m codec.PeerConnection) codec.PeerConnection { return m },
	Append: func(dst []byte, m *codec.PeerConnection) ([]byte, error) { return m.Append(dst) },
	Decode: func(frame []byte, m *codec.PeerConnection) (err error) {
		*m, err = codec.DecodePeerConnection(frame)
		return err
	},
}

// Each package is used in the fastest of the ways that it offers for a slice of
// bytes in memory, tried one against the other: encoding goes into a buffer that
// is reused and does without escapes for HTML, decoding into a variable that is
// reused. Strings must be copies, since frames are read into a buffer that is
// reused. None is asked to be strict: unknown keys pass, and so do missing ones.

// buffer is what an encoder appends to.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func standard() wire.Codec[wire.Message] {
	var b buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	return wire.Codec[wire.Message]{
		Of: wire.Of,
		Append: func(dst []byte, m *wire.Message) ([]byte, error) {
			b = dst
			err := e.Encode(m)
			return b, err
		},
		Decode: func(frame []byte, m *wire.Message) error { return json.Unmarshal(frame, m) },
	}
}

func goccy() wire.Codec[wire.Message] {
	var b buffer
	e := gojson.NewEncoder(&b)
	e.SetEscapeHTML(false)
	options := []gojson.EncodeOptionFunc{gojson.OptimizeFieldOrder()}
	return wire.Codec[wire.Message]{
		Of: wire.Of,
		Append: func(dst []byte, m *wire.Message) ([]byte, error) {
			b = dst
			err := e.EncodeWithOption(m, options...)
			return b, err
		},
		Decode: func(frame []byte, m *wire.Message) error { return gojson.Unmarshal(frame, m) },
	}
}

// byteDance is sonic with its default options. Those of ConfigFastest make no
// difference to a message without a json.Marshaler and unknown keys.
var byteDance = wire.Codec[wire.Message]{
	Of: wire.Of,
	Append: func(dst []byte, m *wire.Message) ([]byte, error) {
		err := encoder.EncodeInto(&dst, m, 0)
		return dst, err
	},
	Decode: func(frame []byte, m *wire.Message) error { return sonic.ConfigDefault.Unmarshal(frame, m) },
}

// sonicIsNone says why sonic would not be what is measured, and compiles its code
// for the message beforehand if it is.
func sonicIsNone() string {
	if sonic.APIKind != sonic.UseSonicJSON {
		return "it falls back to encoding/json on this platform or version of Go"
	}
	if err := sonic.Pretouch(reflect.TypeFor[wire.Message]()); err != nil {
		return "it compiles nothing: " + err.Error()
	}
	return ""
}
