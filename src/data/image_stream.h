#pragma once
// One reading of image files. Three stages, with threads and bounded queues of their own: groups of files are read,
// decoded and scaled to their crops, and mirrored, coloured and centred into the batch that next() fills, while later
// groups are already read and decoded. How many threads a stage has follows from what waits for what; what they make
// does not depend on it.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bounded_queue.h"
#include "base/ordered_queue.h"
#include "data/image_decoder.h"
#include "data/image_source.h"
#include "data/resample.h"
#include "data/stage.h"

namespace hadal {

// A bad sample is skipped for the next good one of its group, around the group's end, in all that is made of it.
class ImageStream : public SampleStream {
 public:
  ImageStream(const ImageSource& source, const StreamOptions& options);
  ~ImageStream() override;

  bool next(std::span<float> samples, std::span<std::int32_t> labels) override;
  void close() override;
  std::vector<InputCounters> stages() const override;

 private:
  using Clock = std::chrono::steady_clock;

  struct DecodedSample {
    std::uint32_t number = 0;
    std::int32_t label = 0;
    int channels = 1;                  // of the pixels
    std::vector<std::uint8_t> pixels;  // one crop after the other, as large as the input, [channels, height, width]
    std::vector<Crop> crops;
    std::string error;      // why there is no image, or empty
    std::size_t shown = 0;  // the sample of the group that stands here: this one, or another for a bad one
  };
  struct DecodedGroup {
    std::size_t skip = 0, count = 0;
    std::vector<DecodedSample> samples;  // at least `count`
    std::atomic<int> users{0};           // tasks, and next()
  };
  // Rows of a group, a row for each crop of a sample, into a batch.
  struct Task {
    DecodedGroup* group = nullptr;
    std::size_t first = 0, rows = 0;
    float* to = nullptr;
  };

  // Objects that are used again, the last one first. As many are made as queues and threads hold at once.
  template <class T>
  class Pool {
   public:
    T* take();
    void give(T* object);

   private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<T>> all_;
    std::vector<T*> free_;
  };

  bool read(StageTimes& times);
  bool decode(int worker, StageTimes& times);
  bool augment(StageTimes& times);

  struct Decoder {
    ImageDecoder library;
    Image image;  // the same for each file, so that it stays in a cache
    Resampler resampler;
  };
  void decode_sample(Decoder& decoder, const EncodedGroup& from, const EncodedSample& encoded, DecodedSample& to,
                     const RandomSequence& draws) const;
  static void replace_bad(DecodedGroup& group);
  bool hand_out(std::span<float> samples, std::span<std::int32_t> labels);
  void wait_for_tasks();
  void end_task(const Task& task);
  void give_up();
  bool take_group();
  void meet(const DecodedGroup& group, std::size_t place) const;
  void let_go(DecodedGroup* group);
  void adapt(double inside_seconds);

  const ImageSource& source_;
  const std::size_t crops_, sample_elements_;
  const StreamOptions options_;
  const std::unique_ptr<EncodedReader> reader_;

  Pool<EncodedGroup> encoded_pool_;
  Pool<DecodedGroup> decoded_pool_;
  OrderedQueue<EncodedGroup*> encoded_;
  OrderedQueue<DecodedGroup*> decoded_;
  BoundedQueue<Task> tasks_;

  std::mutex claim_mutex_;  // of the reader's claim() and of tickets
  std::uint64_t tickets_ = 0;
  bool claimed_all_ = false;

  std::mutex done_mutex_;  // of what follows
  std::condition_variable done_;
  int pending_ = 0;  // tasks of the batch that is being filled

  DecodedGroup* group_ = nullptr;  // of the next row: next()'s alone
  std::size_t next_row_ = 0;
  Clock::time_point adapted_ = Clock::now();
  double inside_seconds_ = 0;
  std::vector<double> busy_before_;

  mutable std::mutex counters_mutex_;  // of what follows: what lay ready in a queue when it was asked
  struct Ready {
    std::uint64_t sum = 0, asked = 0;
    double mean() const { return asked > 0 ? static_cast<double>(sum) / static_cast<double>(asked) : 0; }
  } encoded_ready_, decoded_ready_;

  std::vector<Decoder> decoders_;  // one for each worker

  Stage read_stage_, decode_stage_, augment_stage_;  // their threads begin when all else is there
};

}  // namespace hadal
