#include "net/testing/pair.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "glog/logging.h"
#include "net/connection_core.h"
#include "net/event_loop.h"
#include "net/transport.h"

namespace baton::testing {

// The loop and table that all pairs of a thread share while there are any.
class Pair::World {
 public:
  static std::shared_ptr<World> For(SimulatedClock* clock) {
    static thread_local std::weak_ptr<World> current;
    std::shared_ptr<World> world = current.lock();
    if (world == nullptr) current = world = std::make_shared<World>(clock);
    CHECK(world->clock == clock)
        << "pairs that live at the same time share one clock";
    return world;
  }

  explicit World(SimulatedClock* clock)
      : clock(clock),
        loop(EventLoop::Create(clock).value()),
        table(*loop, ConnectionTable::Options{}) {}

  SimulatedClock* const clock;
  const std::unique_ptr<EventLoop> loop;
  ConnectionTable table;
};

struct Pair::Wire {
  std::string to_handler;
  bool eof = false;
  bool reset = false;
  std::string urgent_to_handler;  // the kernel keeps one such byte, the latest
  std::string from_handler;
  std::string urgent_from_handler;
  bool write_closed = false;
  size_t read_limit = std::numeric_limits<size_t>::max();
  size_t window = std::numeric_limits<size_t>::max();
  int64_t unsent = 0;
  int writes = 0;
};

class Pair::MemoryTransport final : public Transport {
 public:
  explicit MemoryTransport(std::shared_ptr<Wire> wire)
      : wire_(std::move(wire)) {}

  ssize_t Read(char* data, size_t size) override {
    if (wire_->reset) return -ECONNRESET;
    if (wire_->to_handler.empty()) return wire_->eof ? 0 : -EAGAIN;
    const size_t count =
        wire_->to_handler.copy(data, std::min(size, wire_->read_limit));
    wire_->to_handler.erase(0, count);
    return static_cast<ssize_t>(count);
  }

  ssize_t Write(const iovec* parts, int count) override {
    if (wire_->reset || wire_->write_closed) return -EPIPE;
    ++wire_->writes;
    size_t written = 0;
    for (int i = 0; i < count && wire_->window > 0; ++i) {
      const size_t size = std::min(parts[i].iov_len, wire_->window);
      wire_->from_handler.append(static_cast<const char*>(parts[i].iov_base),
                                 size);
      wire_->window -= size;
      written += size;
    }
    return written > 0 ? static_cast<ssize_t>(written) : -EAGAIN;
  }

  ssize_t ReadUrgent(char* byte) override {
    if (wire_->urgent_to_handler.empty()) return -EINVAL;
    *byte = wire_->urgent_to_handler.back();
    wire_->urgent_to_handler.clear();
    return 1;
  }

  ssize_t WriteUrgent(char byte) override {
    if (wire_->reset || wire_->write_closed) return -EPIPE;
    wire_->urgent_from_handler += byte;
    return 1;
  }

  int64_t Unsent() override { return wire_->unsent; }
  void ShutdownWrite() override { wire_->write_closed = true; }

 private:
  const std::shared_ptr<Wire> wire_;
};

Pair::Pair(Handler handler, SimulatedClock* clock,
           const StreamSettings& settings)
    : world_(World::For(clock)),
      wire_(std::make_shared<Wire>()),
      handler_(std::move(handler)) {
  Start(settings, nullptr, UniqueFd());
}

Pair::Pair(Handler handler, SimulatedClock* clock,
           const StreamSettings& settings, const ConnectionImage& image,
           UniqueFd file)
    : world_(World::For(clock)),
      wire_(std::make_shared<Wire>()),
      handler_(std::move(handler)) {
  Start(settings, &image, std::move(file));
}

void Pair::Start(const StreamSettings& settings, const ConnectionImage* image,
                 UniqueFd file) {
  ConnectionTable& table = world_->table;
  internal::ConnectionCore* core = table.Add(
      std::make_unique<MemoryTransport>(wire_), table.AddSettings(settings));
  if (image != nullptr) {
    CHECK_EQ(table.Resume(*core, *image, std::move(file)), absl::OkStatus());
  }
  index_ = core->index;
  generation_ = core->generation;
  scope_.Spawn(handler_(Connection(core)));
  Notify(EPOLLOUT);
}

Pair::~Pair() {
  if (!closed()) {
    wire_->reset = true;
    scope_.RequestStop();
    Notify(EPOLLIN | EPOLLERR | EPOLLHUP);
  }
  CHECK(closed()) << "the handler does not end on a reset";
}

internal::ConnectionCore* Pair::core() const {
  return world_->table.Find(index_, generation_);
}
ConnectionTable& Pair::table() { return world_->table; }
bool Pair::closed() const { return scope_.live() == 0; }
bool Pair::write_closed() const { return closed() || wire_->write_closed; }

void Pair::Notify(uint32_t events) {
  if (core() != nullptr) world_->table.OnEvents(index_, generation_, events);
  Run();
}

void Pair::Run() {
  do {
    world_->loop->Turn(/*wait=*/false);
  } while (world_->loop->HasReady());
}

void Pair::Send(absl::string_view bytes) {
  wire_->to_handler.append(bytes.data(), bytes.size());
  Notify(EPOLLIN);
}

void Pair::SendSplit(absl::string_view bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) Send(bytes.substr(i, 1));
}

void Pair::SendUrgent(char byte) {
  wire_->urgent_to_handler += byte;
  Notify(EPOLLPRI);
}

void Pair::CloseWrite() {
  wire_->eof = true;
  Notify(EPOLLIN | EPOLLRDHUP);
}

void Pair::Reset() {
  wire_->reset = true;
  Notify(EPOLLIN | EPOLLERR | EPOLLHUP);
}

int Pair::writes() const { return wire_->writes; }
std::string Pair::Received() { return std::exchange(wire_->from_handler, {}); }
std::string Pair::ReceivedUrgent() {
  return std::exchange(wire_->urgent_from_handler, {});
}

void Pair::SetReadLimit(size_t bytes) { wire_->read_limit = bytes; }

void Pair::SetWindow(size_t bytes) {
  wire_->window = bytes;
  if (bytes > 0) Notify(EPOLLOUT);
}

void Pair::SetUnsent(int64_t bytes) { wire_->unsent = bytes; }

void Pair::Advance(absl::Duration by) {
  const TimerWheel& wheel = world_->loop->wheel();
  while (by > absl::ZeroDuration()) {
    // From one filed tick to the next: in between nothing can happen.
    absl::Duration step = by;
    if (!wheel.empty()) {
      step = std::min(
          step,
          absl::Nanoseconds(kTickNanos * int64_t{wheel.NextTick() -
                                                 world_->loop->now_tick()}));
    }
    world_->clock->Advance(step);
    Run();
    by -= step;
  }
}

void Pair::Drain() {
  world_->table.BeginDrain();
  Run();
}

void Pair::Cancel() {
  scope_.RequestStop();
  Run();
}

std::optional<ConnectionImage> Pair::Export() {
  internal::ConnectionCore* connection = core();
  if (connection == nullptr || !world_->table.AtSafePoint(*connection))
    return std::nullopt;
  return world_->table.Export(*connection);
}

UniqueFd Pair::ExportFile() {
  internal::ConnectionCore* connection = core();
  const int fd =
      connection != nullptr && ConnectionTable::AtSafePoint(*connection)
          ? ConnectionTable::FileOf(*connection)
          : -1;
  return UniqueFd(fd < 0 ? -1 : dup(fd));
}

}  // namespace baton::testing
