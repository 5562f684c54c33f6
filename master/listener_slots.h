#ifndef BATON_MASTER_LISTENER_SLOTS_H_
#define BATON_MASTER_LISTENER_SLOTS_H_

// The listening sockets, which outlive every worker.
//
// A socket that a worker owns dies with it, and with the socket dies its queue:
// clients that had connected and waited are reset. So the master owns all of
// them. For each TCP or UDP address there is a group of SO_REUSEPORT sockets,
// one per slot, so that each worker has a queue of its own; a unix address
// has one socket for all.
//
// Configurations come and go while groups stay: an address that is in both the
// old configuration and the new keeps its sockets and thereby its queues.
// While a reload is under way both configurations are known here, each under
// its generation. When the last that has an address is gone, its sockets stay
// until CloseRemoved(): clients are in their queues, or on the way there.
//
// Contract
// * Load() binds what is new, or fails and leaves everything as it was. An
//   address that another process has is an error (the probe of
//   net/listen_socket.h), although SO_REUSEPORT would let us in.
// * Port 0 takes a free port once; all slots, and every later configuration
//   with the same URL, share that port. Two listeners with port 0 on one
//   address are two groups, told apart by scheme and order.
// * Descriptors stay owned here. A forked child takes over the numbers of those
//   in ForSlot(), closes all others itself, and never destroys this object.
// * Closing a reuseport socket resets what is queued in it. Only the tail of a
//   group is ever closed alone: a closed one in the middle moves the last to
//   its index. Before that, new connections are steered away from it
//   (net/reuseport_steering.h); and sockets that join a group get none until
//   they are steered to.
// * Not thread-safe.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "master/supervisor_types.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "worker/sockets_id.h"

namespace baton {

class ListenerSlots {
 public:
  // What one worker listens on.
  struct Listener {
    ListenUrl url;  // with the real port
    int fd;
  };

  ListenerSlots() = default;
  // Closes everything, as CloseAll() does.
  ~ListenerSlots();
  ListenerSlots(const ListenerSlots&) = delete;
  ListenerSlots& operator=(const ListenerSlots&) = delete;

  // Makes `urls` (resolved) the listeners of `generation`, with sockets for
  // slots 0 to slots-1. Errors name the address, the call and the errno.
  absl::Status Load(Generation generation, absl::Span<const ListenUrl> urls,
                    int slots, const ListenFlags& flags);

  // From now on only `generation` is there: addresses that it lacks are
  // removed, and those that stay get its backlog and options. An error means
  // that an option could not be set; all else is done.
  absl::Status Commit(Generation generation, const ListenFlags& flags);

  // Sockets for slots 0 to slots-1 of every address, or an error and no more
  // than before.
  absl::Status OpenSlots(int slots, const ListenFlags& flags);

  // New connections go to slots 0 to live-1 of every address. An error leaves
  // some address without a program: the kernel chooses there.
  absl::Status Steer(int live);

  // `generation` is given up; addresses that only it had are removed.
  void Drop(Generation generation);

  // What was removed since the last call, each under a number of its own. Of a
  // unix listener the path is gone. A later generation may take another's
  // address up again, with its sockets.
  std::vector<SocketsId> TakeRemoved();
  struct RemovedListener {
    ListenUrl url;  // of the last configuration that had it, with the real port
    std::vector<int> fds;
    // The kernel may prefer it to one that has its address now.
    bool in_the_way;
  };
  // Nothing if a generation has taken it up.
  std::optional<RemovedListener> Removed(SocketsId id) const;
  // Closes it, unless a generation has taken it up.
  void CloseRemoved(SocketsId id);

  // The sockets of this slot in every group, whoever has copies; it must be the
  // last one, and nothing removed be left.
  void CloseSlot(int slot);

  // Shuts every listener down, so that a late client is refused at once, closes
  // it and removes unix paths.
  void CloseAll();

  // In the order of the configuration.
  std::vector<Listener> ForSlot(Generation generation, int slot) const;
  // Of the TCP and UDP listeners, those that have a socket for this slot.
  struct Adoptable {
    uint32_t number;  // among them
    int fd;
  };
  // None of a generation that is gone.
  std::vector<Adoptable> ForAdoption(Generation generation, int slot) const;
  // With the real ports.
  std::vector<ListenUrl> Urls(Generation generation) const;
  // Those whose address no other generation has.
  std::vector<ListenUrl> NewUrls(Generation generation) const;

  // All of this for another binary (handoff.h), which needs `fds` to be open.
  // It takes them over into an object that is empty, or fails; what is of the
  // wrong type throws, as the library does.
  nlohmann::json State(std::vector<int>& fds) const;
  absl::Status TakeOver(const nlohmann::json& state);

 private:
  // All sockets of one address.
  struct Group {
    ListenUrl url;  // of the last configuration; with the real port
    std::vector<UniqueFd> sockets;  // by slot; unix: one
    bool steered = false;
    // What the unix path named when it was bound.
    dev_t device = 0;
    ino_t inode = 0;
  };
  using GroupPtr = std::shared_ptr<Group>;
  // A listener of a configuration.
  struct Use {
    ListenUrl url;
    GroupPtr group;
  };

  static std::vector<std::string> KeysOf(absl::Span<const ListenUrl> urls);
  GroupPtr FindGroup(const std::string& key, const ListenUrl& url,
                     absl::Span<const std::string> keys) const;
  std::vector<Endpoint> BoundOn(ListenUrl::Transport transport) const;
  static absl::Status SteerGroup(Group& group, int live);
  static absl::Status Attach(Group& group, int live);
  absl::Status OpenMissing(Group& group, int slots, const ListenFlags& flags,
                           std::vector<UniqueFd>& opened) const;
  std::set<const Group*> InUse() const;
  static void RemovePath(const Group& group);
  static void CloseGroup(Group& group);

  // By key. Also what was removed and could be taken up again: all but unix.
  std::map<std::string, GroupPtr> groups_;
  std::map<Generation, std::vector<Use>> uses_;
  std::map<SocketsId, GroupPtr> removed_;
  SocketsId next_removed_ = kFirstRemoved;
};

}  // namespace baton

#endif  // BATON_MASTER_LISTENER_SLOTS_H_
