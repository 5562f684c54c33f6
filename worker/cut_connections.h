#ifndef BATON_WORKER_CUT_CONNECTIONS_H_
#define BATON_WORKER_CUT_CONNECTIONS_H_

#include "net/connection_table.h"

namespace baton {

// The last step of a drain: shutdown(2) on every connection that is left, so
// that its peer learns of it now.
//
// shutdown acts on the socket, not on the descriptor: on a listener that other
// processes share it would stop them all, and on a connection that has been
// handed over it would end it for its new owner. So what is shut down is
// exactly what three sources agree on: it is open in this process
// (/proc/self/fd, proc(5)), it is a socket that does not listen, and it is
// among the table's own connections. Where /proc is not mounted the table alone
// must do; the log says so once.
//
// Returns how many clients were cut in the middle of something: not in an idle
// read.
int CutConnections(ConnectionTable& table);

}  // namespace baton

#endif  // BATON_WORKER_CUT_CONNECTIONS_H_
