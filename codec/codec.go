// Package codec reads and writes the three messages of ProxyStore's relay
// protocol: [Registration], [Response] and [PeerConnection]. It knows JSON
// text, no sockets.
//
// [Decode] accepts what the stock Python decoder accepts, its oddities
// included, and refuses what that refuses, each time with a [*DecodeError] that
// says what was wrong and where. The Append methods write exactly the bytes
// that Python writes: plain ASCII, keys in a fixed order. [DecodeEnvelope] is
// for a relay: it checks a message as strictly as Decode does, but reads only
// the two UUIDs that routing needs.
//
// Encoding into a buffer with room allocates nothing, [DecodePeerConnection]
// allocates once, and DecodeEnvelope not at all, unless a key or UUID is spelled
// in an unusual way. All functions are safe for concurrent use, and none
// retains the frame, with the exception of [Envelope], which says so.
package codec

import "github.com/google/uuid"

// RelayMessage is one of the three messages: [Registration], [Response] or
// [PeerConnection], each as a value, not a pointer.
type RelayMessage interface {
	// Append appends the message to dst as one frame and returns the extended
	// buffer. On an error, an [*EncodeError], it returns dst as it was.
	Append(dst []byte) ([]byte, error)

	// messageType is the wire's name of the message. It also seals the interface.
	messageType() string
}

// Registration asks a relay to register the sender under a UUID. It is the
// first message of a client.
type Registration struct {
	Name string // for humans and logs; not unique, not used for routing
	UUID uuid.UUID
}

// Response is a relay's answer to a [Registration].
type Response struct {
	Success bool   // absent on the wire means true
	Message string // "" stands for null
	Error   bool   // whether Message tells of an error
}

// PeerConnection carries a description from one client to another one.
//
// The strings of a decoded message share one piece of memory: a program that
// keeps only the SourceName for long should keep a [strings.Clone] of it.
type PeerConnection struct {
	SourceUUID      uuid.UUID
	SourceName      string
	PeerUUID        uuid.UUID // where it goes
	DescriptionType DescriptionType
	Description     string // the payload; stock peers take nothing but JSON with a session description in it
	Error           string // "" stands for null
}

// Undelivered reports whether Error is set, as it is in a message that a relay
// could not deliver and gave back. A peer may set it too; SourceUUID tells
// whose message it was.
func (m PeerConnection) Undelivered() bool { return m.Error != "" }

// DescriptionType says what a description is. Decoding lets every value pass;
// encoding only takes [Offer] and [Answer], because a stock Python peer ends its
// whole process when it receives another one.
type DescriptionType string

// The two description types of the protocol.
const (
	Offer  DescriptionType = "offer"
	Answer DescriptionType = "answer"
)

// The values of message_type.
const (
	typeRegistration   = "relay_registration"
	typeResponse       = "relay_response"
	typePeerConnection = "peer_connection"
)

func (Registration) messageType() string   { return typeRegistration }
func (Response) messageType() string       { return typeResponse }
func (PeerConnection) messageType() string { return typePeerConnection }
