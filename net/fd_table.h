#ifndef BATON_NET_FD_TABLE_H_
#define BATON_NET_FD_TABLE_H_

namespace baton {

// The kernel's table of a process's descriptors grows when one is opened that
// does not fit: from 64 to 256 to 512 and so on, twice as large each time. In
// a process with threads whoever opens it then waits until every processor has
// passed through the scheduler (expand_fdtable in fs/file.c calls
// synchronize_rcu if the table is shared), which takes tens of milliseconds:
// for an event loop a standstill amid the first few hundred connections.
//
// Makes room for `descriptors`, of 8 bytes of the kernel's memory each, or for
// as many as RLIMIT_NOFILE allows, while the process has one thread. It never
// shrinks. Without memory it stays as it is: slower, not wrong.
void GrowFdTable(int descriptors);

}  // namespace baton

#endif  // BATON_NET_FD_TABLE_H_
