#include "tests/chaos_clients.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/chaos_connection.h"
#include "tests/chaos_http.h"
#include "tests/chaos_text.h"

namespace baton {
namespace {

// A client, for its habit.
struct Client {
  // Waits, or ends the wait when the clients are to rest.
  void Pause(uint64_t from_ms, uint64_t to_ms) {
    clients->Pause(absl::Milliseconds(Random(from_ms, to_ms)));
  }
  uint64_t Random(uint64_t from, uint64_t to) {
    return from + random() % (to - from + 1);
  }

  const ChaosClients* clients;
  std::mt19937_64 random;
  uint64_t number = 0;        // another one for each exchange
  uint64_t* lines = nullptr;  // on this connection, of those of tell
};

// An exchange; false if the connection is of no use any more.
using Habit = bool (*)(Client&, ChaosConnection&);

bool ExpectTold(Client& client, ChaosConnection& conn,
                const std::string& line) {
  std::string answer;
  if (!conn.ReadLine(&answer)) return false;
  pid_t pid = 0;
  const size_t space = answer.find(' ');
  if (space == std::string::npos ||
      !absl::SimpleAtoi(answer.substr(0, space), &pid)) {
    return conn.Wrong(answer);
  }
  const std::string expected = absl::StrCat(++*client.lines, " ", line);
  if (answer.substr(space + 1) != expected) {
    return conn.Wrong(absl::StrCat(answer.substr(0, 100), " instead of ",
                                   expected.substr(0, 100)));
  }
  conn.Answered(pid);
  return true;
}

bool Tell(Client& client, ChaosConnection& conn) {
  const std::string line = ChaosText(client.number, client.Random(0, 2000));
  return conn.Send(line + "\n") && ExpectTold(client, conn, line);
}

bool Echo(Client& client, ChaosConnection& conn) {
  const std::string text = ChaosText(client.number, client.Random(1, 20'000));
  if (!conn.Send(text) || !conn.Expect(text)) return false;
  conn.Answered(0);
  return true;
}

std::string TextTarget(uint64_t number, size_t size) {
  return absl::StrCat("/text?number=", number, "&size=", size);
}

bool Get(Client& client, ChaosConnection& conn) {
  const size_t size = client.Random(0, 3000);
  return conn.Send(ChaosGet(TextTarget(client.number, size))) &&
         ExpectHttp(conn, ChaosText(client.number, size));
}

bool Pipeline(Client& client, ChaosConnection& conn) {
  const uint64_t count = client.Random(2, 20);
  std::string requests;
  for (uint64_t i = 0; i < count; ++i) {
    requests += ChaosGet(TextTarget(client.number + i, 50 * i));
  }
  // The last one may come in two parts.
  const size_t part = requests.size() - client.Random(0, 40);
  if (!conn.Send(requests.substr(0, part))) return false;
  if (client.Random(0, 1) == 0) client.Pause(1, 800);
  if (!conn.Send(requests.substr(part))) return false;
  for (uint64_t i = 0; i < count; ++i) {
    if (!ExpectHttp(conn, ChaosText(client.number + i, 50 * i))) return false;
  }
  return true;
}

// --- half a request, and then for a while nothing

bool HalfALine(Client& client, ChaosConnection& conn) {
  const std::string line =
      ChaosText(client.number, client.Random(2, 40'000)) + "\n";
  const size_t half = client.Random(1, line.size() - 1);
  if (!conn.Send(line.substr(0, half))) return false;
  client.Pause(200, 5000);
  return conn.Send(line.substr(half)) &&
         ExpectTold(client, conn, line.substr(0, line.size() - 1));
}

bool HalfAHead(Client& client, ChaosConnection& conn) {
  const std::string head = ChaosGet(TextTarget(client.number, 100));
  const size_t half = client.Random(1, head.size() - 1);
  if (!conn.Send(head.substr(0, half))) return false;
  client.Pause(200, 5000);
  return conn.Send(head.substr(half)) &&
         ExpectHttp(conn, ChaosText(client.number, 100));
}

bool HalfABody(Client& client, ChaosConnection& conn) {
  const std::string body = ChaosText(client.number, client.Random(2, 50'000));
  const size_t half = client.Random(1, body.size() - 1);
  if (!conn.Send(ChaosPostHead("/echo", body.size()) + body.substr(0, half)))
    return false;
  client.Pause(200, 4000);
  return conn.Send(body.substr(half)) && ExpectHttp(conn, body);
}

// --- what takes long

bool ReadSlowly(Client& client, ChaosConnection& conn) {
  constexpr size_t kLarge = 800'000;
  return conn.Send(ChaosGet(TextTarget(client.number, kLarge))) &&
         ExpectHttp(conn, ChaosText(client.number, kLarge),
                    [&client] { client.Pause(10, 150); });
}

bool Stream(Client& client, ChaosConnection& conn) {
  const uint64_t parts = client.Random(1, 40), size = client.Random(1, 5000);
  std::string body;
  for (uint64_t i = 0; i < parts; ++i) {
    body += ChaosText(client.number + i, size);
  }
  return conn.Send(ChaosGet(absl::StrCat(
             "/stream?number=", client.number, "&parts=", parts, "&size=", size,
             "&pause_ms=", client.Random(1, 90)))) &&
         ExpectChunkedHttp(conn, body);
}

bool Upload(Client& client, ChaosConnection& conn) {
  const std::string body =
      ChaosText(client.number, client.Random(1000, 300'000));
  if (!conn.Send(ChaosPostHead("/sum", body.size()))) return false;
  for (size_t sent = 0; sent < body.size();) {
    const std::string part = body.substr(sent, client.Random(1, 20'000));
    if (!conn.Send(part)) return false;
    sent += part.size();
    client.Pause(1, 150);
  }
  return ExpectHttp(conn,
                    absl::StrCat(body.size(), " ",
                                 ChaosSum(0, body.data(), body.size()), "\n"));
}

// --- who does what

enum class Where { kEcho, kTell, kHttp, kExtra };

struct Kind {
  const char* name;
  int count;
  Where where;
  Habit habit;
  uint64_t pause_from_ms, pause_to_ms;  // between two exchanges
  uint64_t exchanges;                   // on a connection; 0: all
  int receive_buffer = 0;
  size_t connections = 1;  // of a client, which takes any one of them
};

constexpr Kind kKinds[] = {
    {"tell", 5, Where::kTell, Tell, 1, 60, 0},
    {"echo", 4, Where::kEcho, Echo, 1, 60, 0},
    {"http", 5, Where::kHttp, Get, 1, 60, 0},
    {"new tell", 2, Where::kTell, Tell, 1, 100, 1},
    {"new http", 2, Where::kHttp, Get, 1, 100, 1},
    {"half a line", 2, Where::kTell, HalfALine, 1, 300, 0},
    {"half a head", 2, Where::kHttp, HalfAHead, 1, 300, 0},
    {"half a body", 2, Where::kHttp, HalfABody, 1, 300, 0},
    {"slow reader", 3, Where::kHttp, ReadSlowly, 1, 300, 0, 16 * 1024},
    {"stream", 3, Where::kHttp, Stream, 1, 300, 0},
    {"upload", 2, Where::kHttp, Upload, 1, 300, 0},
    {"idle tell", 2, Where::kTell, Tell, 1000, 8000, 0},
    {"idle echo", 2, Where::kEcho, Echo, 1000, 8000, 0},
    {"idle http", 2, Where::kHttp, Get, 1000, 8000, 0},
    {"pipeline", 3, Where::kHttp, Pipeline, 1, 200, 0},
    {"crowd", 1, Where::kTell, Tell, 1, 20, 0, 0, 100},
    // Who stays with a listener that is no more keeps a worker.
    {"extra", 1, Where::kExtra, Tell, 100, 600, 5},
};

const Kind* KindOf(size_t index) {
  for (const Kind& kind : kKinds) {
    if (index < static_cast<size_t>(kind.count)) return &kind;
    index -= kind.count;
  }
  return nullptr;
}

std::optional<Endpoint> AddressOf(const Kind& kind,
                                  const ChaosAddresses& addresses) {
  switch (kind.where) {
    case Where::kEcho:
      return addresses.echo;
    case Where::kTell:
      return addresses.tell;
    case Where::kHttp:
      return addresses.http;
    case Where::kExtra:
      return addresses.extra();
  }
  return std::nullopt;
}

}  // namespace

ChaosClients::ChaosClients(uint64_t seed, ChaosLedger* ledger,
                           const ChaosAddresses* addresses)
    : seed_(seed), ledger_(ledger), addresses_(addresses) {
  for (size_t i = 0; KindOf(i) != nullptr; ++i) {
    threads_.emplace_back([this, i] { Live(i); });
  }
}

ChaosClients::~ChaosClients() {
  Set(rest_);
  Leave();
}

void ChaosClients::Set(bool& flag) {
  const std::lock_guard lock(mutex_);
  flag = true;
  changed_.notify_all();
}

bool ChaosClients::ShouldRest() const {
  const std::lock_guard lock(mutex_);
  return rest_;
}

void ChaosClients::Pause(absl::Duration length) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(length),
                    [this] { return rest_; });
}

void ChaosClients::Rest() {
  Set(rest_);
  std::unique_lock lock(mutex_);
  // Each of their waits ends by itself.
  changed_.wait(lock, [this] { return resting_ == threads_.size(); });
}

void ChaosClients::Leave() {
  Set(leave_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

// One of a client's connections.
struct ChaosClients::Held {
  std::optional<ChaosConnection> conn;
  uint64_t exchanges = 0;
  uint64_t lines = 0;
};

void ChaosClients::Live(size_t index) {
  const Kind& kind = *KindOf(index);
  Client client{this, std::mt19937_64(seed_ + index)};
  std::vector<Held> all(kind.connections);
  const auto exchange = [&](Held& held) {
    if (!held.conn.has_value()) {
      const std::optional<Endpoint> server = AddressOf(kind, *addresses_);
      if (!server.has_value()) return;
      held.conn.emplace(ledger_, *server, absl::StrCat(kind.name, " ", index),
                        kind.receive_buffer);
      held.lines = held.exchanges = 0;
    }
    client.number += 1000;
    client.lines = &held.lines;
    const bool goes_on = held.conn->ok() && kind.habit(client, *held.conn) &&
                         held.conn->ExpectNothing() &&
                         ++held.exchanges != kind.exchanges;
    if (!goes_on) held.conn.reset();
  };
  while (!ShouldRest() && !ledger_->failed()) {
    exchange(all[client.Random(0, all.size() - 1)]);
    client.Pause(kind.pause_from_ms, kind.pause_to_ms);
  }
  {
    std::unique_lock lock(mutex_);
    ++resting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return leave_; });
  }
  for (Held& held : all) {
    if (!ledger_->failed()) exchange(held);
  }
}

}  // namespace baton
