// Package observe makes what a relay client counts visible to Prometheus and
// OpenTelemetry.
package observe
