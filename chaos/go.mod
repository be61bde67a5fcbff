module github.com/seed73300619/relay/chaos

go 1.26.0

require github.com/seed73300619/relay v0.0.0
