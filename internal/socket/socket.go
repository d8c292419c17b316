// Package socket reads and writes sockets that do not block, in calls of the system of which Go's runtime is not told.
//
// A call that may block is announced to the runtime, which has a thread watch it; where a server has little to do, that thread is woken by
// the first call for each request, on another processor, and takes more time than the call. What cannot block need not be announced. It
// also must not be long: a thread that is within such a call stops for no garbage collection.
//
// All functions return the error of the system as its number, EAGAIN where nothing can be done now, and try again where a signal came
// between.
package socket

// most is how much is moved at once: that takes the kernel some ten microseconds.
const most = 128 << 10
