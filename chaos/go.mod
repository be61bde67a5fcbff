module github.com/seed73300619/relay/chaos

go 1.26.0

require (
	github.com/google/uuid v1.6.0
	github.com/seed73300619/relay v0.0.0
	golang.org/x/sync v0.24.0
)

require github.com/gorilla/websocket v1.5.3 // indirect

// The library is the one beside this module, always.
replace github.com/seed73300619/relay => ..
