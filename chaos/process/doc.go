// Package process runs relays in processes of their own, so that they can be
// killed, stopped and continued as the kernel and operators do it.
package process
