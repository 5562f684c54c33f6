#ifndef BATON_WORKER_SOCKETS_ID_H_
#define BATON_WORKER_SOCKETS_ID_H_

#include <cstdint>

namespace baton {

// Names listening sockets from which a worker that does not own them may be
// told to accept: below kFirstRemoved those of a slot, by its number; from
// there on those of the listeners that one reload has removed.
using SocketsId = uint32_t;
inline constexpr SocketsId kFirstRemoved = SocketsId{1} << 31;

}  // namespace baton

#endif  // BATON_WORKER_SOCKETS_ID_H_
