#ifndef BATON_NET_TESTING_PAIR_H_
#define BATON_NET_TESTING_PAIR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/connection_table.h"
#include "net/scope.h"
#include "net/task.h"
#include "net/unique_fd.h"

namespace baton::testing {

// Drives a connection handler without sockets: the handler has one end, the
// test the other. Time is simulated and nothing happens between two calls of
// the test, so every run is the same.
//
//   SimulatedClock clock;
//   testing::Pair pair(Echo, &clock);
//   pair.Send("hi");
//   EXPECT_EQ(pair.Received(), "hi");
//   pair.Advance(absl::Minutes(2));
//   EXPECT_TRUE(pair.closed());
//
// Pairs with the same clock share one loop, so that a test can connect several
// handlers. One thread.
class Pair {
 public:
  using Handler = absl::AnyInvocable<Task<>(Connection)>;

  // Starts the handler, as if the connection had just been accepted. `clock`
  // outlives the pair.
  Pair(Handler handler, SimulatedClock* clock,
       const StreamSettings& settings = {});
  // Goes on with a connection that was exported; with its file, if it was in
  // the middle of one.
  Pair(Handler handler, SimulatedClock* clock, const StreamSettings& settings,
       const ConnectionImage& image, UniqueFd file = UniqueFd());
  // Resets the connection if the handler is still there, and CHECKs that it
  // then ends.
  ~Pair();
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  // The peer sends. The handler reads at most `read_limit` bytes at a time
  // (SetReadLimit).
  void Send(absl::string_view bytes);
  // Sends byte by byte, each with its own event.
  void SendSplit(absl::string_view bytes);
  // A byte out of band.
  void SendUrgent(char byte);
  // The peer closes its side in good order; what it sent before is read first.
  void CloseWrite();
  // The connection breaks: what has not been read is lost.
  void Reset();

  // What the handler has written since the last call.
  std::string Received();
  // How often it has tried to write, which with a socket is a system call each.
  int writes() const;
  // Bytes it sent out of band, since the last call.
  std::string ReceivedUrgent();
  // The handler has ended, so the connection is closed.
  bool closed() const;
  // The handler has shut down its side, or ended.
  bool write_closed() const;

  // One read returns at most this much.
  void SetReadLimit(size_t bytes);
  // The peer takes this many more bytes and then no more until it is raised (a
  // full socket). Default: unlimited.
  void SetWindow(size_t bytes);
  // Of what was written, this much has not reached the peer (SIOCOUTQ): for
  // slow readers.
  void SetUnsent(int64_t bytes);

  // Moves the clock and runs what is due, each timer at its time.
  void Advance(absl::Duration by);
  // The worker begins to drain.
  void Drain();
  // The task is asked to stop (kCancelled).
  void Cancel();
  // At a safe point: a copy of what a successor would get; nullopt anywhere
  // else.
  std::optional<ConnectionImage> Export();
  // A copy of the descriptor of the file that is being sent there; none if
  // there is none.
  UniqueFd ExportFile();

  ConnectionTable& table();

 private:
  class World;
  struct Wire;
  class MemoryTransport;

  void Start(const StreamSettings& settings, const ConnectionImage* image,
             UniqueFd file);
  // The loop sees `events` on the connection, and runs until it has nothing to
  // do.
  void Notify(uint32_t events);
  void Run();
  internal::ConnectionCore* core() const;

  const std::shared_ptr<World> world_;
  const std::shared_ptr<Wire> wire_;
  Handler handler_;
  Scope scope_;
  uint32_t index_ = 0;
  uint32_t generation_ = 0;
};

}  // namespace baton::testing

#endif  // BATON_NET_TESTING_PAIR_H_
