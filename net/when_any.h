#ifndef BATON_NET_WHEN_ANY_H_
#define BATON_NET_WHEN_ANY_H_

#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "net/io_error.h"
#include "net/scope.h"
#include "net/task.h"

namespace baton {

// co_await WhenAny(A(), B()): runs all, cancels the others when the first ends,
// waits for those to end too, and yields the first one's result: a std::variant
// whose index() says which it was (std::monostate for a Task<void>). Tasks
// start in order; if one ends at once, the later ones are not started.
//
// A ReadResult can't be its result: others read while the losers end, and the
// bytes are borrowed. Let the task use them, or return a copy.

namespace internal {

template <typename T>
using NonVoid = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <size_t kIndex, typename T, typename Result>
Task<> Race(Task<T> task, Scope* scope, std::optional<Result>* first) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    if (!first->has_value()) first->emplace(std::in_place_index<kIndex>);
  } else {
    T value = co_await std::move(task);
    if (!first->has_value())
      first->emplace(std::in_place_index<kIndex>, std::move(value));
  }
  scope->RequestStop();
}

template <typename Result, size_t... kIndex, typename... T>
void StartRace(std::index_sequence<kIndex...>, Scope* scope,
               std::optional<Result>* first, Task<T>... tasks) {
  ((first->has_value() ? void()
                       : scope->Spawn(Race<kIndex, T, Result>(std::move(tasks),
                                                              scope, first))),
   ...);
}

}  // namespace internal

template <typename... T>
  requires(!std::is_same_v<T, ReadResult> && ...)
Task<std::variant<internal::NonVoid<T>...>> WhenAny(Task<T>... tasks) {
  using Result = std::variant<internal::NonVoid<T>...>;
  Scope scope;
  std::optional<Result> first;
  internal::StartRace<Result>(std::index_sequence_for<T...>(), &scope, &first,
                              std::move(tasks)...);
  co_await scope.Join();
  co_return *std::move(first);
}

}  // namespace baton

#endif  // BATON_NET_WHEN_ANY_H_
