#include "master/flag_file_watch.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/event_loop.h"

namespace baton {
namespace {

namespace fs = std::filesystem;

class FlagFileWatchTest : public testing::Test {
 protected:
  FlagFileWatchTest() {
    std::string folder = testing::TempDir() + "/watch.XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~FlagFileWatchTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }
  void Write(const std::string& name, const std::string& text = "x") const {
    std::ofstream(Path(name)) << text;
  }
  void Rename(const std::string& from, const std::string& to) const {
    EXPECT_EQ(rename(Path(from).c_str(), Path(to).c_str()), 0);
  }
  void Link(const std::string& target, const std::string& name) const {
    EXPECT_EQ(symlink(target.c_str(), Path(name).c_str()), 0);
  }
  void Folder(const std::string& name) const {
    EXPECT_EQ(mkdir(Path(name).c_str(), 0755), 0);
  }
  // As configuration management does it, and Kubernetes.
  void SwapLink(const std::string& target, const std::string& name) const {
    Link(target, name + ".new");
    Rename(name + ".new", name);
  }

  void Watch(const std::string& path) {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = *std::move(loop);
    watch_.emplace(*loop_, path, [this] {
      ++changes_;
      if (on_change_) on_change_();
    });
    const absl::Status started = watch_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  // Makes each of these changes when the one before has been told, and expects
  // that it is told, once.
  void ExpectSeen(std::vector<std::function<void()>> changes) {
    size_t next = 0;
    on_change_ = [&] {
      if (next == changes.size()) return loop_->Stop();
      changes[next++]();
    };
    Timer patience(*loop_, [&] {
      ADD_FAILURE() << "change " << next << " is not seen";
      loop_->Stop();
    });
    patience.Start(absl::Seconds(20));
    loop_->Run();
    // One call for what was before.
    EXPECT_EQ(changes_, 1 + static_cast<int>(changes.size()));
  }

  std::string folder_;
  std::unique_ptr<EventLoop> loop_;
  std::optional<FlagFileWatch> watch_;
  std::unique_ptr<Timer> later_;
  std::function<void()> on_change_;
  int changes_ = 0;
};

TEST_F(FlagFileWatchTest, EditsInPlaceAndByRename) {
  Write("flags");
  Watch(Path("flags"));
  ExpectSeen({[&] { Write("flags", "in place"); },
              [&] {
                Write("flags.new", "renamed");
                Rename("flags.new", "flags");
              },
              [&] { Write("flags", "in place, of the new one"); },
              [&] { std::ofstream(Path("flags"), std::ios::app) << "more"; }});
}

TEST_F(FlagFileWatchTest, GoneAndThereAgain) {
  Write("flags");
  Watch(Path("flags"));
  ExpectSeen(
      {[&] { unlink(Path("flags").c_str()); }, [&] { Write("flags", "again"); },
       [&] { Rename("flags", "away"); }, [&] { Rename("away", "flags"); }});
}

// The way that a ConfigMap is mounted.
TEST_F(FlagFileWatchTest, ASwappedFolder) {
  Folder("..1");
  Folder("..2");
  Folder("..3");
  for (const char* file : {"..1/flags", "..2/flags", "..3/flags"}) Write(file);
  Link("..1", "..data");
  Link("..data/flags", "flags");
  Watch(Path("flags"));
  ExpectSeen({[&] { SwapLink("..2", "..data"); },
              [&] {
                fs::remove_all(Path("..1"));
                Write("..2/flags", "y");
              },
              [&] { SwapLink(Path("..3"), "..data"); },
              [&] { Write("..3/flags", "z"); }});
}

TEST_F(FlagFileWatchTest, ASwappedLink) {
  Folder("a");
  Folder("b");
  Write("a/one");
  Write("b/two");
  Link(Path("a/one"), "link");
  Link("link", "flags");
  Watch(Path("flags"));
  ExpectSeen(
      {[&] { Write("a/one", "in place"); }, [&] { SwapLink("b/two", "link"); },
       [&] { Write("b/two", "in place"); },
       [&] { SwapLink("nowhere", "flags"); }, [&] { Write("nowhere"); }});
}

TEST_F(FlagFileWatchTest, AFolderOnTheWayThatIsReplaced) {
  Folder("a");
  Folder("a/b");
  Folder("other");
  Folder("other/b");
  Write("a/b/flags");
  Write("other/b/flags");
  Watch(Path("a/b/flags"));
  ExpectSeen({[&] { Rename("a", "away"); }, [&] { Rename("other", "a"); },
              [&] { Write("a/b/flags", "y"); },
              [&] { fs::remove_all(Path("a")); }, [&] { Folder("a"); },
              [&] { Folder("a/b"); }, [&] { Write("a/b/flags"); }});
}

// Of files beside it nobody is told.
TEST_F(FlagFileWatchTest, SiblingsAreNoChange) {
  Write("flags");
  Write("sibling");
  Watch(Path("flags"));
  ExpectSeen({[&] { Write("flags", "1"); },
              [&] {
                Write("sibling", "of no concern");
                later_ = std::make_unique<Timer>(*loop_,
                                                 [&] { Write("flags", "2"); });
                later_->Start(3 * FlagFileWatch::kSettle);
              }});
}

TEST_F(FlagFileWatchTest, ARelativePathAndALoopOfLinks) {
  ASSERT_EQ(chdir(folder_.c_str()), 0);
  Link("loop", "flags");
  Link("flags", "loop");
  Watch("flags");
  ExpectSeen({[&] { SwapLink("real", "loop"); }, [&] { Write("real"); },
              [&] { Write("real", "edited"); }});
}

TEST_F(FlagFileWatchTest, ManyChangesAreToldOnce) {
  Write("flags");
  Watch(Path("flags"));
  ExpectSeen({[&] {
    for (int i = 0; i < 1000; ++i) Write("flags", std::to_string(i));
  }});
}

}  // namespace
}  // namespace baton
