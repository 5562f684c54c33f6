#ifndef BATON_POOL_JOB_H_
#define BATON_POOL_JOB_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace baton {

// A callable that is run at most once, with a name for logs and statistics.
//
// One of at most kInlineBytes that moves without throwing lives in the Job
// itself, which is as large as the rest of a queue's cell; another costs one
// allocation. Exceptions end the process: jobs return what went wrong.
//
// Not thread-safe.
class Job {
 public:
  static constexpr size_t kInlineBytes = 32;

  Job() = default;
  // `name` is not copied: a literal.
  template <typename F>
  Job(const char* name, F callable) : name_(name) {
    static_assert(std::is_invocable_v<F&&>, "a job takes no arguments");
    if constexpr (IsInline<F>()) {
      new (storage_) F(std::move(callable));
      ops_ = &kInlineOps<F>;
    } else {
      using Box = std::unique_ptr<F>;
      new (storage_) Box(std::make_unique<F>(std::move(callable)));
      ops_ = &kBoxedOps<F>;
    }
  }
  Job(Job&& other) noexcept { TakeFrom(other); }
  Job& operator=(Job&& other) noexcept {
    if (this != &other) {
      Drop();
      TakeFrom(other);
    }
    return *this;
  }
  ~Job() { Drop(); }

  explicit operator bool() const { return ops_ != nullptr; }
  const char* name() const { return name_; }

  // Runs and destroys the callable. The Job is empty then.
  void Run() noexcept { std::exchange(ops_, nullptr)->run(storage_); }

  // When it was submitted, in nanoseconds; 0: it is not timed.
  int64_t submitted_nanos() const { return submitted_nanos_; }
  void set_submitted_nanos(int64_t nanos) { submitted_nanos_ = nanos; }

 private:
  struct Ops {
    void (*run)(void* storage) noexcept;  // and destroy
    // Null: the bytes may be copied and forgotten.
    void (*move)(void* to, void* from) noexcept;  // and destroy `from`
    void (*destroy)(void* storage) noexcept;
  };

  template <typename F>
  static constexpr bool IsInline() {
    return sizeof(F) <= kInlineBytes && alignof(F) <= alignof(void*) &&
           std::is_nothrow_move_constructible_v<F>;
  }
  template <typename F>
  static F* As(void* storage) {
    return std::launder(reinterpret_cast<F*>(storage));
  }
  template <typename F>
  static constexpr Ops kInlineOps = {
      [](void* storage) noexcept {
        F* callable = As<F>(storage);
        std::move (*callable)();
        std::destroy_at(callable);
      },
      std::is_trivially_copyable_v<F>
          ? nullptr
          : +[](void* to, void* from) noexcept {
              new (to) F(std::move(*As<F>(from)));
              std::destroy_at(As<F>(from));
            },
      [](void* storage) noexcept { std::destroy_at(As<F>(storage)); }};
  template <typename F>
  static constexpr Ops kBoxedOps = {
      [](void* storage) noexcept {
        using Box = std::unique_ptr<F>;
        Box box = std::move(*As<Box>(storage));
        std::destroy_at(As<Box>(storage));
        std::move (*box)();
      },
      [](void* to, void* from) noexcept {
        using Box = std::unique_ptr<F>;
        new (to) Box(std::move(*As<Box>(from)));
        std::destroy_at(As<Box>(from));
      },
      [](void* storage) noexcept {
        std::destroy_at(As<std::unique_ptr<F>>(storage));
      }};

  void TakeFrom(Job& other) noexcept {
    ops_ = std::exchange(other.ops_, nullptr);
    name_ = other.name_;
    submitted_nanos_ = other.submitted_nanos_;
    if (ops_ == nullptr) return;
    if (ops_->move == nullptr) {
      std::memcpy(storage_, other.storage_, kInlineBytes);
    } else {
      ops_->move(storage_, other.storage_);
    }
  }
  void Drop() noexcept {
    if (ops_ != nullptr) std::exchange(ops_, nullptr)->destroy(storage_);
  }

  const Ops* ops_ = nullptr;
  const char* name_ = "";
  int64_t submitted_nanos_ = 0;
  alignas(void*) unsigned char storage_[kInlineBytes];
};

}  // namespace baton

#endif  // BATON_POOL_JOB_H_
