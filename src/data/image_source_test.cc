#include "data/image_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "data/batch_loader.h"
#include "data/tar_source.h"
#include "testing/images.h"
#include "testing/shared_data.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::jpeg_bytes;
using ::testing::Not;
using testing::png_bytes;
using ::testing::SizeIs;
using testing::tar_bytes;
using testing::tar_end;
using testing::tar_entry;
using testing::TemporaryFolder;
using testing::test_image;

constexpr std::int64_t kClasses = 4;
const Shape kImageInput{3, 12, 10};

// Images of four classes, of several sizes and kinds: image i has label i % 4.
std::string image_bytes(int i) {
  const Image image = test_image(14 + i % 5, 13 + i % 7, i % 3 == 0 ? 1 : 3, i);
  return i % 4 == 1 ? png_bytes(image) : jpeg_bytes(image, {.progressive = i % 5 == 2});
}

std::string image_name(int i) {
  char name[40];
  std::snprintf(name, sizeof name, "class%d/%04d.%s", i % 4, i, i % 4 == 1 ? "png" : "jpg");
  return name;
}

void write_folder(const TemporaryFolder& folder, int count) {
  for (int c = 0; c < kClasses; ++c) fs::create_directories(folder.path("images/class" + std::to_string(c)));
  for (int i = 0; i < count; ++i) folder.write("images/" + image_name(i), image_bytes(i));
}

// Shards of at most `each` samples: their pattern.
std::string write_shards(const TemporaryFolder& folder, int count, int each) {
  std::vector<std::pair<std::string, std::string>> files;
  int shard = 0;
  for (int i = 0; i < count; ++i) {
    const std::string name = image_name(i).substr(7);
    files.emplace_back(name, image_bytes(i));
    files.emplace_back(name.substr(0, 4) + ".cls", std::to_string(i % 4) + "\n");
    if ((i + 1) % each == 0 || i + 1 == count) {
      folder.write("s-" + std::to_string(shard++) + ".tar", tar_bytes(files));
      files.clear();
    }
  }
  return folder.path("s-{0.." + std::to_string(shard - 1) + "}.tar");
}

DataOptions options(BadSample on_bad_sample = BadSample::fail, std::int64_t buffer = 64) {
  return {.input = kImageInput, .classes = kClasses, .buffer = buffer, .on_bad_sample = on_bad_sample};
}

struct ImageSamples {
  std::vector<std::vector<float>> values;
  std::vector<std::int32_t> labels;
};

ImageSamples read_images(const SampleSource& source, StreamOptions stream, std::size_t batch = 7) {
  const auto reader = source.stream(stream);
  const auto size = static_cast<std::size_t>(elements(source.sample_shape()));
  ImageSamples all;
  for (std::int64_t epoch = stream.first_epoch, at = stream.first_sample; epoch < stream.epochs; ++epoch, at = 0) {
    while (at < source.size()) {
      const std::size_t rows = std::min(batch, static_cast<std::size_t>(source.size() - at));
      std::vector<float> values(rows * size);
      std::vector<std::int32_t> labels(rows);
      EXPECT_TRUE(reader->next(values, labels));
      for (std::size_t i = 0; i < rows; ++i) {
        all.values.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i * size),
                                values.begin() + static_cast<std::ptrdiff_t>((i + 1) * size));
        all.labels.push_back(labels[i]);
      }
      at += static_cast<std::int64_t>(rows);
    }
  }
  return all;
}

const ImageSpec kJitter{.random_crop = true, .mirror = true, .area = {{0.3, 1}}, .aspect = {0.8, 1.25}, .pca = 0.1};

// Both kinds of source, over the same 150 images.
class Images : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr int kCount = 150;

  std::unique_ptr<ImageSource> open(const ImageSpec& spec = {}, BadSample bad = BadSample::fail,
                                    std::int64_t buffer = 64) {
    if (std::string(GetParam()) == "tar") return open_images(TarData{{shards()}, spec, {}}, options(bad, buffer));
    return open_images(ImageFolderData{folder(), std::nullopt, spec, {}}, options(bad, buffer));
  }

  std::string shards() { return shards_.empty() ? shards_ = write_shards(folder_, kCount, 40) : shards_; }
  std::string folder() {
    if (!fs::exists(folder_.path("images"))) write_folder(folder_, kCount);
    return folder_.path("images");
  }

  // Damages image `i` where it lies.
  void damage(int i) {
    const std::string bytes = image_bytes(i), path = std::string(GetParam()) == "tar"
                                                         ? folder_.path("s-" + std::to_string(i / 40) + ".tar")
                                                         : folder_.path("images/" + image_name(i));
    std::string all = read_file(path, 1 << 30);
    const std::size_t at = all.find(bytes);
    ASSERT_NE(at, std::string::npos);
    for (std::size_t k = bytes.size() / 2; k < bytes.size(); ++k) all[at + k] = '\x55';
    write_file(path, all);
  }

  TemporaryFolder folder_;
  std::string shards_;
};

TEST_P(Images, are_each_met_once_an_epoch_in_another_order) {
  const auto source = open();
  ASSERT_EQ(source->size(), kCount);
  const ImageSamples two = read_images(*source, {.seed = 3, .epochs = 2});
  const ImageSamples sequential = read_images(*source, {.order = SampleOrder::sequential});
  const std::multiset<std::vector<float>> all(sequential.values.begin(), sequential.values.end());
  const auto middle = two.values.begin() + kCount;
  EXPECT_EQ(std::multiset<std::vector<float>>(two.values.begin(), middle), all);
  EXPECT_EQ(std::multiset<std::vector<float>>(middle, two.values.end()), all);
  EXPECT_NE(std::vector(two.values.begin(), middle), std::vector(middle, two.values.end()));
  EXPECT_NE(std::vector(two.values.begin(), middle), sequential.values);
  std::map<std::int32_t, int> labels;
  for (const std::int32_t label : sequential.labels) ++labels[label];
  EXPECT_THAT(labels, ElementsAre(std::pair(0, 38), std::pair(1, 38), std::pair(2, 37), std::pair(3, 37)));
}

TEST_P(Images, are_the_same_from_any_place_on_and_in_batches_of_any_size) {
  const auto source = open(kJitter);
  const ImageSamples whole = read_images(*source, {.seed = 3, .epochs = 2});
  for (const std::int64_t first : {1, 16, 63, 64, 77, 149}) {
    for (const std::int64_t epoch : {0, 1}) {
      const ImageSamples rest =
          read_images(*source, {.seed = 3, .epochs = 2, .first_epoch = epoch, .first_sample = first}, 19);
      const auto begin = static_cast<std::ptrdiff_t>(epoch * kCount + first);
      ASSERT_EQ(rest.values, std::vector(whole.values.begin() + begin, whole.values.end())) << epoch << " " << first;
      ASSERT_EQ(rest.labels, std::vector(whole.labels.begin() + begin, whole.labels.end()));
    }
  }
}

TEST_P(Images, are_changed_otherwise_in_each_epoch_and_by_each_seed) {
  const auto source = open(kJitter);
  const ImageSamples a = read_images(*source, {.seed = 3, .order = SampleOrder::sequential, .epochs = 2});
  const ImageSamples b = read_images(*source, {.seed = 4, .order = SampleOrder::sequential});
  for (std::size_t i = 0; i < kCount; ++i) {
    EXPECT_NE(a.values[i], a.values[kCount + i]);
    EXPECT_NE(a.values[i], b.values[i]);
  }
}

TEST_P(Images, a_damaged_one_ends_the_reading_and_is_named) {
  open();
  damage(42);
  const auto source = open();
  try {
    read_images(*source, {});
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("0042.jpg"));
    EXPECT_THAT(error.what(), HasSubstr("the JPEG is damaged"));
  }
}

TEST_P(Images, damaged_ones_are_skipped_counted_and_named_wherever_the_reading_begins) {
  open();
  for (const int i : {3, 42, 43, 90, 149}) damage(i);
  const auto source = open(kJitter, BadSample::skip);
  const ImageSamples whole = read_images(*source, {.seed = 3, .epochs = 2});
  EXPECT_EQ(source->skipped().samples.count, 10);
  EXPECT_THAT(source->skipped().samples.named, SizeIs(5));  // each once
  EXPECT_THAT(whole.values, SizeIs(2 * kCount));
  for (const std::int64_t first : {1, 40, 100}) {
    const ImageSamples rest = read_images(*source, {.seed = 3, .epochs = 2, .first_sample = first});
    ASSERT_EQ(rest.values, std::vector(whole.values.begin() + first, whole.values.end())) << first;
  }
}

TEST_P(Images, one_that_is_damaged_has_others_beside_it_wherever_it_lies) {
  for (const int count : {17, 33, 65}) {
    for (const int bad : {0, count / 2, count - 1}) {
      const TemporaryFolder folder;
      std::vector<std::pair<std::string, std::string>> files;
      fs::create_directories(folder.path("images/a"));
      for (int i = 0; i < count; ++i) {
        const std::string name = image_name(i).substr(7), bytes = i == bad ? "junk" : image_bytes(i);
        folder.write("images/a/" + name, bytes);
        files.emplace_back(name, bytes);
        files.emplace_back(name.substr(0, 4) + ".cls", "0");
      }
      folder.write("a.tar", tar_bytes(files));
      // Of a buffer of 64 each sample is a block.
      const DataSource source = std::string(GetParam()) == "tar"
                                    ? DataSource(TarData{{folder.path("a.tar")}, {}, {}})
                                    : DataSource(ImageFolderData{folder.path("images"), std::nullopt, {}, {}});
      const auto images = open_images(source, options(BadSample::skip, count == 65 ? 64 : 1));
      for (std::uint64_t seed = 0; seed < 5; ++seed) EXPECT_NO_THROW(read_images(*images, {.seed = seed}));
      EXPECT_NO_THROW(read_images(*images, {.order = SampleOrder::sequential}));
      EXPECT_EQ(images->skipped().samples.count, 6) << count << " " << bad;
    }
  }
}

TEST_P(Images, a_damaged_one_is_told_when_its_turn_has_come) {
  open();
  damage(std::string(GetParam()) == "tar" ? 9 : 36);  // the tenth of its class folder
  for (const BadSample bad : {BadSample::fail, BadSample::skip}) {
    const auto source = open({}, bad);
    const auto stream = source->stream({.order = SampleOrder::sequential});
    std::vector<float> values(4 * 360);
    std::vector<std::int32_t> labels(4);
    for (int batch = 0; batch < 2; ++batch) ASSERT_TRUE(stream->next(values, labels));
    EXPECT_EQ(source->skipped().samples.count, 0);
    if (bad == BadSample::fail) {
      EXPECT_THROW(static_cast<void>(stream->next(values, labels)), DataError);
    } else {
      ASSERT_TRUE(stream->next(values, labels));
      EXPECT_EQ(source->skipped().samples.count, 1);
    }
  }
}

TEST_P(Images, do_not_depend_on_the_number_of_threads) {
  open();
  for (const int i : {3, 42, 43}) damage(i);
  const auto source = open(kJitter, BadSample::skip);
  const ImageSamples one = read_images(*source, {.seed = 3, .epochs = 2, .threads = 1});
  const ImageSamples four = read_images(*source, {.seed = 3, .epochs = 2, .threads = 4});
  EXPECT_EQ(one.values, four.values);
  EXPECT_EQ(one.labels, four.labels);
}

TEST_P(Images, are_not_changed_at_random_for_evaluation) {
  const StreamOptions sequential{.seed = 3, .order = SampleOrder::sequential, .augment = false};
  ImageSpec plain = kJitter;
  plain.random_crop = plain.mirror = false;
  plain.area.reset();
  plain.pca = 0;
  EXPECT_EQ(read_images(*open(kJitter), sequential).values,
            read_images(*open(plain), {.order = SampleOrder::sequential}).values);
}

// Where the system gives no more memory for threads.
TEST_P(Images, a_stream_that_gets_no_threads_is_an_error) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "a sanitizer needs all addresses";
#endif
  const auto source = open();
  for (const std::uint64_t room : {4, 12, 20, 28, 36}) {
    const auto start = [&] {
      alarm(20);
      std::uint64_t pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const rlim_t most = pages * static_cast<std::uint64_t>(getpagesize()) + (room << 20);
      const rlimit limit{most, most};
      setrlimit(RLIMIT_AS, &limit);
      try {
        source->stream({.threads = 32});
        std::_Exit(1);
      } catch (const std::exception&) {
        std::_Exit(0);
      }
    };
    EXPECT_EXIT(start(), ::testing::ExitedWithCode(0), "") << room;
  }
}

TEST_P(Images, the_first_ten_damaged_ones_are_named) {
  open();
  for (int i = 0; i < kCount; i += 9) damage(i);
  const auto source = open({}, BadSample::skip);
  read_images(*source, {.epochs = 2});
  EXPECT_EQ(source->skipped().samples.count, 34);
  EXPECT_THAT(source->skipped().samples.named, SizeIs(10));
}

TEST_P(Images, where_none_is_good_that_is_said) {
  open();
  for (int i = 0; i < kCount; ++i) damage(i);
  const auto source = open({}, BadSample::skip);
  EXPECT_THROW(read_images(*source, {}), DataError);
}

TEST_P(Images, of_which_there_are_several_crops) {
  const auto source = open({.resize = Resize::side, .side = 16, .crops = 10});
  EXPECT_EQ(source->size(), 10 * kCount);
  EXPECT_EQ(source->crops(), 10);
  const ImageSamples crops = read_images(*source, {.order = SampleOrder::sequential}, 37);
  const ImageSamples centres =
      read_images(*open({.resize = Resize::side, .side = 16}), {.order = SampleOrder::sequential});
  for (std::size_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(crops.values[10 * i], centres.values[i]);
    for (std::size_t k = 0; k < 10; ++k) EXPECT_EQ(crops.labels[10 * i + k], centres.labels[i]);
    std::vector<float> mirrored = crops.values[10 * i + 5];
    for (std::size_t row = 0; row < 36; ++row) {
      std::reverse(mirrored.begin() + static_cast<std::ptrdiff_t>(10 * row),
                   mirrored.begin() + static_cast<std::ptrdiff_t>(10 * (row + 1)));
    }
    EXPECT_EQ(mirrored, centres.values[i]);
  }
}

TEST_P(Images, a_loader_may_end_in_the_middle) {
  const auto source = open(kJitter);
  for (int round = 0; round < 20; ++round) {
    BatchLoader loader(*source, {.batch = 8, .epochs = 100});
    for (int i = 0; i < round % 4; ++i) ASSERT_TRUE(loader.next().has_value());
  }
}

TEST_P(Images, its_stages_are_told) {
  const auto source = open();
  BatchLoader loader(*source, {.batch = 8, .epochs = 3});
  while (loader.next()) continue;
  const auto stages = loader.stages();
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[0].name, "read");
  EXPECT_EQ(stages[1].name, "decode");
  EXPECT_EQ(stages[2].name, "augment");
  for (const InputCounters& stage : stages) {
    EXPECT_NEAR(stage.samples, 3 * kCount, 32) << stage.name;  // threads count a group after they passed it on
    EXPECT_GT(stage.busy_seconds, 0) << stage.name;
  }
}

TEST_P(Images, its_fingerprint_is_of_what_it_holds) {
  const std::string before = open()->fingerprint();
  EXPECT_EQ(open()->fingerprint(), before);
  EXPECT_EQ(open(kJitter)->fingerprint(), before);
  if (std::string(GetParam()) == "tar") {
    damage(60);  // in the second of four shards
  } else {
    folder_.write("images/" + image_name(60), image_bytes(60) + "x");
  }
  EXPECT_NE(open()->fingerprint(), before);
}

INSTANTIATE_TEST_SUITE_P(all, Images, ::testing::Values("folder", "tar"), [](const auto& test) { return test.param; });

// --- Folders and lists ---

TEST(ImageFolder, a_list_says_the_labels) {
  const TemporaryFolder folder;
  write_folder(folder, 8);
  const std::string list = folder.write("list.csv", "path,label\nclass1/0005.png,3\nclass0/0000.jpg,2\n");
  const ImageFolderData data{folder.path("images"), list, {}, {}};
  const auto source = open_images(data, options());
  EXPECT_THAT(read_images(*source, {.order = SampleOrder::sequential}).labels, ElementsAre(3, 2));
}

template <class Call>
std::string source_error_of(const Call& call) {
  try {
    call();
    return "none";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ImageFolder, what_is_wrong_is_told) {
  const TemporaryFolder folder;
  const auto open = [&](const std::string& path, const std::optional<std::string>& list = std::nullopt) {
    return source_error_of([&] { open_images(ImageFolderData{path, list, {}, {}}, options()); });
  };
  EXPECT_THAT(open(folder.path("none")), HasSubstr("cannot open " + folder.path("none")));
  EXPECT_THAT(open(folder.path()), HasSubstr("holds no folders"));
  fs::create_directories(folder.path("images/a"));
  EXPECT_THAT(open(folder.path("images")), HasSubstr("images/a holds no .jpg, .jpeg, .png, .pgm or .ppm files"));
  for (int c = 0; c < 5; ++c) {
    fs::create_directories(folder.path("many/" + std::to_string(c)));
    folder.write("many/" + std::to_string(c) + "/a.jpg", "x");
  }
  EXPECT_THAT(open(folder.path("many")), HasSubstr("has 5 folders of images, but the network has 4 classes"));
  EXPECT_THAT(open(folder.path(), folder.write("list", "a.jpg 4\n")), HasSubstr("list:1: a.jpg has label 4"));
  EXPECT_THAT(open(folder.path(), folder.write("empty", "")), HasSubstr("lists no images"));
}

TEST(ImageFolder, classes_of_test_data_are_numbered_as_those_of_train) {
  const TemporaryFolder folder;
  for (const char* name : {"train/a", "train/b", "train/c", "test/a", "test/c", "other/d"}) {
    fs::create_directories(folder.path(name));
    folder.write(std::string(name) + "/1.png", image_bytes(1));
  }
  JobSpec job;
  job.data.train = ImageFolderData{folder.path("train"), std::nullopt, {}, {}};
  job.data.buffer = 64;
  const DataOptions of_test = data_options(job, kImageInput, kClasses, Split::test);
  const auto open = [&](const char* name) {
    return open_images(ImageFolderData{folder.path(name), std::nullopt, {}, {}}, of_test);
  };
  EXPECT_THAT(read_images(*open("test"), {.order = SampleOrder::sequential}).labels, ElementsAre(0, 2));
  EXPECT_THAT(source_error_of([&] { open("other"); }), HasSubstr("other has a folder d, and data.train"));
}

TEST(ImageFolder, hidden_files_and_folders_are_passed_over) {
  const TemporaryFolder folder;
  for (const char* name : {".ipynb_checkpoints", "a", "a/.cache"}) {
    fs::create_directories(folder.path(name));
    folder.write(std::string(name) + "/1.png", image_bytes(1));
    folder.write(std::string(name) + "/._1.png", "not an image");
  }
  const auto source = open_images(ImageFolderData{folder.path(), std::nullopt, {}, {}}, options());
  EXPECT_THAT(read_images(*source, {}).labels, ElementsAre(0));
}

TEST(ImageFolder, a_link_to_itself_is_a_bad_sample) {
  const TemporaryFolder folder;
  write_folder(folder, 8);
  fs::create_symlink("x.jpg", folder.path("images/class0/x.jpg"));
  const auto source =
      open_images(ImageFolderData{folder.path("images"), std::nullopt, {}, {}}, options(BadSample::skip));
  EXPECT_THAT(read_images(*source, {}).labels, SizeIs(9));
  EXPECT_THAT(source->skipped().samples.named, ElementsAre(HasSubstr("class0/x.jpg")));
}

TEST(ImageFolder, a_file_that_went_away_is_a_bad_sample) {
  const TemporaryFolder folder;
  write_folder(folder, 8);
  const auto source =
      open_images(ImageFolderData{folder.path("images"), std::nullopt, {}, {}}, options(BadSample::skip));
  fs::remove(folder.path("images/" + image_name(5)));
  read_images(*source, {});
  EXPECT_THAT(source->skipped().samples.named, ElementsAre(HasSubstr(image_name(5))));
}

// --- Shards ---

TEST(TarShards, a_damaged_shard_keeps_what_comes_before_the_damage) {
  const TemporaryFolder folder;
  const std::string shards = write_shards(folder, 80, 40);
  std::string first = read_file(folder.path("s-0.tar"), 1 << 30);
  write_file(folder.path("s-0.tar"), first.substr(0, first.size() / 2));
  EXPECT_THAT(source_error_of([&] {
                open_images(TarData{{shards}, {}, {}}, options());
              }),
              AllOf(HasSubstr("the archive ends within"), Not(HasSubstr("is kept"))));
  const auto source = open_images(TarData{{shards}, {}, {}}, options(BadSample::skip));
  EXPECT_GT(source->size(), 50);
  EXPECT_LT(source->size(), 65);
  EXPECT_THAT(source->skipped().files.named, ElementsAre(HasSubstr("what comes before it is kept")));
  EXPECT_THAT(read_images(*source, {}).labels, SizeIs(source->size()));
}

TEST(TarShards, labels_that_do_not_fit_are_bad_samples) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> files;
  for (int i = 0; i < 6; ++i) {
    files.emplace_back(std::to_string(i) + ".jpg", image_bytes(4));
    files.emplace_back(std::to_string(i) + ".cls", i == 2 ? "4" : i == 3 ? "cat" : "1");
  }
  const TarData data{{folder.write("a.tar", tar_bytes(files))}, {}, {}};
  EXPECT_THAT(source_error_of([&] { read_images(*open_images(data, options()), {.order = SampleOrder::sequential}); }),
              HasSubstr("a.tar: 2.jpg: its label is 4, but the network has 4 classes"));
  const auto source = open_images(data, options(BadSample::skip));
  EXPECT_THAT(read_images(*source, {}).labels, ElementsAre(1, 1, 1, 1, 1, 1));
  EXPECT_EQ(source->skipped().samples.count, 2);
}

TEST(TarShards, an_empty_image_is_a_bad_sample_within_its_groups_memory) {
  const TemporaryFolder folder;
  const std::string archive = folder.write("a.tar", tar_bytes({{"0.json", std::string(5000, ' ')},
                                                               {"0.cls", "1"},
                                                               {"0.jpg", ""},
                                                               {"1.jpg", image_bytes(4)},
                                                               {"1.cls", "1"}}));
  EncodedGroup group;
  ASSERT_TRUE(open_tar({{archive}, {}, {}}, options())->reader({.order = SampleOrder::sequential})->claim(group));
  for (const EncodedSample& sample : group.samples) EXPECT_LE(sample.offset + sample.size, group.memory.size());
  const auto source = open_images(TarData{{archive}, {}, {}}, options(BadSample::skip));
  EXPECT_THAT(read_images(*source, {}).labels, ElementsAre(1, 1));
  EXPECT_THAT(source->skipped().samples.named, ElementsAre(HasSubstr("a.tar: 0.jpg")));
}

TEST(TarShards, of_what_is_no_whole_sample_the_first_ten_are_named) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> files;
  for (int i = 0; i < 1500; ++i) {
    files.emplace_back(std::to_string(i) + ".jpg", i == 700 ? image_bytes(4) : "x");
    if (i == 700) files.emplace_back("700.cls", "2");
  }
  const TarData data{{folder.write("a.tar", tar_bytes(files))}, {}, {}};
  const auto source = open_images(data, options(BadSample::skip));
  const Skipped skipped = source->skipped();
  EXPECT_EQ(skipped.incomplete.count, 1499);
  EXPECT_THAT(skipped.incomplete.named, SizeIs(10));
  EXPECT_EQ(skipped.files.count, 0);
  EXPECT_THAT(lines_of_left_out(skipped), SizeIs(10));
  EXPECT_THAT(lines_of_left_out(skipped)[0], HasSubstr("no whole sample: 1,499; the first: " + data.files[0] +
                                                       ": at byte 0: sample '0' has no label"));
  EXPECT_THAT(read_images(*source, {}).labels, ElementsAre(2));
  EXPECT_THROW(open_images(data, options()), DataError);
}

// Of a corpus of 1.6 GB, half of it in samples, whose other files than images are holes, and one sample that is too
// large for a window.
TEST(TarShards, are_streamed_in_bounded_memory) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "a sanitizer keeps memory of its own";
#endif
  const TemporaryFolder folder;
  const std::string path = folder.path("a.tar");
  std::ofstream archive(path, std::ios::binary);
  const auto write = [&](const std::string& name, const std::string& bytes) { archive << tar_entry(name, bytes); };
  const auto write_hole = [&](const std::string& name, std::uint64_t size) {
    archive << testing::tar_header(name, size);
    archive.seekp(static_cast<std::streamoff>(size), std::ios::cur);
  };
  for (int i = 0; i < 200; ++i) {
    const std::string name = image_name(i).substr(7), key = name.substr(0, 4);
    write(name, image_bytes(i));
    write(key + ".cls", "1");
    if (i % 2 == 0) write_hole(key + ".npy", 4 << 20);            // in a window
    if (i % 50 == 0) write_hole(key + ".large", 100 << 20);       // so that its sample is a block of its own
    if (i % 100 == 0) write_hole("x" + key + ".raw", 200 << 20);  // no sample
    if (i == 150) write_hole(key + ".huge", 300 << 20);           // more than a window holds
  }
  archive << tar_end() << std::flush;
  ASSERT_TRUE(archive.good());
  const auto read_all = [&] {
    const auto peak = [] {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      return usage.ru_maxrss * 1024 / 1'000'000;
    };
    const long before = peak();
    const auto source = open_images(TarData{{path}, {}, {}}, options(BadSample::skip, 1 << 20));
    const bool all = read_images(*source, {}).labels.size() == 199 && source->skipped().incomplete.count == 3;
    const long grown = peak() - before;  // two windows of 268 MB, and little else
    std::fprintf(stderr, "%d, %ld MB", all, grown);
    std::_Exit(all && grown < 600 ? 0 : 1);
  };
  EXPECT_EXIT(read_all(), ::testing::ExitedWithCode(0), "");
}

TEST(TarShards, one_without_images_is_told) {
  const TemporaryFolder folder;
  EXPECT_THAT(source_error_of([&] {
                open_images(TarData{{folder.write("a.tar", tar_bytes({}))}, {}, {}}, options(BadSample::skip));
              }),
              HasSubstr("a.tar: holds no images"));
}

TEST(TarShards, the_order_follows_from_the_buffer) {
  const TemporaryFolder folder;
  const std::string shards = write_shards(folder, 150, 40);
  const auto open = [&](std::int64_t buffer) {
    return read_images(*open_images(TarData{{shards}, {}, {}}, options(BadSample::fail, buffer)), {.seed = 2}).values;
  };
  EXPECT_EQ(open(20), open(20));
  EXPECT_NE(open(20), open(200));
}

TEST(TarShards, of_the_webdataset_project) {
  const fs::path archive = testing::shared_folder() / "data/fixture_webdataset/sample.tgz";
  if (!fs::exists(archive)) GTEST_SKIP() << archive.string();
  const TemporaryFolder folder;
  const std::string unpacked = folder.path("sample.tar");
  ASSERT_EQ(std::system(("gzip -dc '" + archive.string() + "' > '" + unpacked + "'").c_str()), 0);
  DataOptions of_digits{.input = {1, 28, 28}, .classes = 10, .buffer = 1000};
  const auto source = open_images(TarData{{unpacked}, {}, {}}, of_digits);
  EXPECT_EQ(source->size(), 90);
  EXPECT_THAT(read_images(*source, {}).labels, SizeIs(90));
  EXPECT_THAT(source_error_of([&] {
                open_images(TarData{{archive.string()}, {}, {}}, of_digits);
              }),
              HasSubstr("gzip -d"));
}

}  // namespace
}  // namespace hadal
