#include "data/image_stream.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/elapsed.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kEncodedGroups = 8, kDecodedGroups = 8, kTasks = 4;  // of the queues
constexpr int kMostReaders = 8;

int threads_of(const StreamOptions& options) {
  return options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

template <class T>
T* ImageStream::Pool<T>::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return all_.emplace_back(std::make_unique<T>()).get();
  T* const object = free_.back();
  free_.pop_back();
  return object;
}

template <class T>
void ImageStream::Pool<T>::give(T* object) {
  const std::lock_guard lock(mutex_);
  free_.push_back(object);
}

ImageStream::ImageStream(const ImageSource& source, const StreamOptions& options)
    : source_(source),
      crops_(static_cast<std::size_t>(source.crops())),
      sample_elements_(static_cast<std::size_t>(elements(source.sample_shape()))),
      options_(options),
      reader_(source.encoded().reader([&] {
        StreamOptions of_images = options;
        of_images.first_sample /= source.crops();
        return of_images;
      }())),
      encoded_(kEncodedGroups),
      decoded_(kDecodedGroups),
      tasks_(kTasks),
      decoders_(static_cast<std::size_t>(threads_of(options))),
      read_stage_(
          "read", source.encoded().reads_apart() ? std::min(kMostReaders, threads_of(options)) : 1,
          [this](int, StageTimes& times) { return read(times); }, [this] { give_up(); }),
      decode_stage_(
          "decode", threads_of(options), [this](int worker, StageTimes& times) { return decode(worker, times); },
          [this] { give_up(); }),
      augment_stage_(
          "augment", threads_of(options), [this](int, StageTimes& times) { return augment(times); },
          [this] { give_up(); }) {
  HADAL_CHECK(options.first_sample % source.crops() == 0);
  try {
    read_stage_.set_threads(options.threads);
    decode_stage_.set_threads(threads_of(options) - (options.threads > 0 ? 0 : 1));
    augment_stage_.set_threads(options.threads);
  } catch (...) {  // those that run already wait in queues
    close();
    throw;
  }
}

ImageStream::~ImageStream() { close(); }

void ImageStream::close() {
  reader_->close();
  encoded_.close();
  decoded_.close();
  tasks_.close();
}

bool ImageStream::next(std::span<float> samples, std::span<std::int32_t> labels) {
  const auto begin = Clock::now();
  bool handed_out = false;
  try {
    handed_out = hand_out(samples, labels);
  } catch (...) {
    wait_for_tasks();  // which write into `samples`
    throw;
  }
  wait_for_tasks();
  for (const Stage* stage : {&read_stage_, &decode_stage_, &augment_stage_}) stage->rethrow();
  if (!handed_out) return false;
  adapt(seconds_since(begin));
  return true;
}

// False where the stream is closed, or there is no group any more.
bool ImageStream::hand_out(std::span<float> samples, std::span<std::int32_t> labels) {
  for (std::size_t row = 0; row < labels.size();) {
    if (group_ == nullptr && !take_group()) return false;
    const std::size_t all = group_->count * crops_, rows = std::min(all - next_row_, labels.size() - row);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t place = (next_row_ + i) / crops_;
      if ((next_row_ + i) % crops_ == 0) meet(*group_, place);
      labels[row + i] = group_->samples[group_->samples[place].shown].label;
    }
    ++group_->users;
    {
      const std::lock_guard lock(done_mutex_);
      ++pending_;
    }
    const Task task{group_, next_row_, rows, samples.data() + row * sample_elements_};
    if (tasks_.push(task) != QueueResult::done) {
      end_task(task);
      return false;
    }
    row += rows;
    next_row_ += rows;
    if (next_row_ == all) let_go(std::exchange(group_, nullptr));
  }
  return true;
}

void ImageStream::wait_for_tasks() {
  std::unique_lock lock(done_mutex_);
  done_.wait(lock, [&] { return pending_ == 0; });
}

void ImageStream::end_task(const Task& task) {
  let_go(task.group);
  {
    const std::lock_guard lock(done_mutex_);
    --pending_;
  }
  done_.notify_one();
}

// Where a stage failed: what it does no more is done, so that next() goes on and finds the error.
void ImageStream::give_up() {
  close();
  for (Task task; tasks_.pop(task) == QueueResult::done;) end_task(task);
}

// False where there is none any more.
bool ImageStream::take_group() {
  {
    const std::lock_guard lock(counters_mutex_);
    decoded_ready_.sum += decoded_.size();
    ++decoded_ready_.asked;
  }
  std::uint64_t ticket = 0;
  if (decoded_.pop(group_, ticket) != QueueResult::done) {
    group_ = nullptr;
    return false;
  }
  next_row_ = group_->skip * crops_;
  group_->users = 1;
  return true;
}

// A sample whose turn has come: a bad one is told or counted.
void ImageStream::meet(const DecodedGroup& group, std::size_t place) const {
  const DecodedSample& sample = group.samples[place];
  if (sample.error.empty()) return;
  if (source_.options().on_bad_sample == BadSample::fail) throw DataError(sample.error);
  if (sample.shown == place) {
    throw DataError(sample.error + "; no sample can stand for it: all " + std::to_string(group.count) +
                    " of its group are bad");
  }
  source_.count_skipped(sample.error);
}

void ImageStream::let_go(DecodedGroup* group) {
  if (--group->users == 0) decoded_pool_.give(group);
}

bool ImageStream::read(StageTimes& times) {
  const auto begin = Clock::now();
  EncodedGroup* const group = encoded_pool_.take();
  std::uint64_t ticket = 0;
  {
    const std::lock_guard lock(claim_mutex_);
    if (claimed_all_ || !reader_->claim(*group)) {
      claimed_all_ = true;
      encoded_.finish(tickets_);
      decoded_.finish(tickets_);
      return false;
    }
    ticket = tickets_++;
  }
  reader_->read(*group);
  const auto read = Clock::now();
  times.samples = static_cast<std::int64_t>(group->samples.size());
  times.busy_seconds = std::chrono::duration<double>(read - begin).count();
  const bool taken = encoded_.push(ticket, group) == QueueResult::done;
  times.wait_seconds = seconds_since(read);
  return taken;
}

bool ImageStream::decode(int worker, StageTimes& times) {
  const auto begin = Clock::now();
  {
    const std::lock_guard lock(counters_mutex_);
    encoded_ready_.sum += encoded_.size();
    ++encoded_ready_.asked;
  }
  EncodedGroup* encoded = nullptr;
  std::uint64_t ticket = 0;
  if (encoded_.pop(encoded, ticket) != QueueResult::done) return false;
  const auto there = Clock::now();
  DecodedGroup* const group = decoded_pool_.take();
  group->skip = encoded->skip;
  group->count = encoded->samples.size();
  if (group->samples.size() < group->count) group->samples.resize(group->count);
  const RandomSequence draws(options_.seed, RandomUse::augment, static_cast<std::uint32_t>(encoded->epoch));
  for (std::size_t i = 0; i < group->count; ++i) {
    decode_sample(decoders_[static_cast<std::size_t>(worker)], *encoded, encoded->samples[i], group->samples[i], draws);
  }
  replace_bad(*group);
  encoded->shrink();
  encoded_pool_.give(encoded);
  const auto decoded = Clock::now();
  times.samples = static_cast<std::int64_t>(group->count);
  times.starved_seconds = std::chrono::duration<double>(there - begin).count();
  times.busy_seconds = std::chrono::duration<double>(decoded - there).count();
  const bool taken = decoded_.push(ticket, group) == QueueResult::done;
  times.wait_seconds = seconds_since(decoded);
  return taken;
}

void ImageStream::decode_sample(Decoder& decoder, const EncodedGroup& from, const EncodedSample& encoded,
                                DecodedSample& to, const RandomSequence& draws) const {
  to.number = encoded.number;
  to.label = encoded.label;
  to.error = encoded.error;
  if (!to.error.empty()) return;
  try {
    const ImageSpec& spec = source_.spec();
    const RasterSize input = source_.input(), size = decoder.library.open(from.bytes(encoded), encoded.name);
    to.crops.clear();
    for (std::size_t k = 0; k < crops_; ++k) {
      to.crops.push_back(options_.augment && crops_ == 1
                             ? choose_crop(spec, size, input, {draws, to.number}, encoded.name)
                             : test_crop(spec, size, input, static_cast<std::int64_t>(k), encoded.name));
    }
    const int eighths = enough_eighths(to.crops[0], input);
    const RasterPart part = part_of(to.crops, size, eighths, input);
    decoder.library.decode(eighths, source_.channels(), decoder.image, &part);
    to.channels = decoder.image.channels;
    to.pixels.resize(crops_ * sample_elements_);
    for (std::size_t k = 0; k < crops_; ++k) {
      decoder.resampler.run(decoder.image, to.crops[k], input,
                            std::span(to.pixels).subspan(k * sample_elements_, sample_elements_));
    }
    decoder.image.shrink();
  } catch (const DataError& error) {
    to.error = error.what();
  }
}

void ImageStream::replace_bad(DecodedGroup& group) {
  for (std::size_t i = 0; i < group.count; ++i) {
    std::size_t& shown = group.samples[i].shown;
    shown = i;
    for (std::size_t step = 1; step < group.count && !group.samples[shown].error.empty(); ++step) {
      shown = (i + step) % group.count;
    }
    if (!group.samples[shown].error.empty()) shown = i;
  }
}

bool ImageStream::augment(StageTimes& times) {
  const auto begin = Clock::now();
  Task task;
  if (tasks_.pop(task) != QueueResult::done) return false;
  const auto there = Clock::now();
  const struct AtEnd {
    ImageStream& stream;
    const Task& task;
    ~AtEnd() { stream.end_task(task); }
  } at_end{*this, task};
  for (std::size_t i = 0; i < task.rows; ++i) {
    const std::size_t row = task.first + i;
    const DecodedSample& sample = task.group->samples[task.group->samples[row / crops_].shown];
    const std::size_t k = row % crops_;
    source_.values().write(std::span(sample.pixels).subspan(k * sample_elements_, sample_elements_), sample.channels,
                           sample.crops[k], {task.to + i * sample_elements_, sample_elements_});
  }
  times.samples = static_cast<std::int64_t>(task.rows);
  times.starved_seconds = std::chrono::duration<double>(there - begin).count();
  times.busy_seconds = seconds_since(there);
  return true;
}

// Every fifth of a second: where the loader is in next() nearly all the time, the input is what is waited for, and its
// busiest stage gets another thread; where it often is not, stages that could do with fewer threads lose one.
void ImageStream::adapt(double inside_seconds) {
  constexpr double kInterval = 0.2;
  if (options_.threads > 0) return;
  inside_seconds_ += inside_seconds;
  const double passed = seconds_since(adapted_);
  if (passed < kInterval) return;
  Stage* const all[] = {&read_stage_, &decode_stage_, &augment_stage_};
  busy_before_.resize(std::size(all));
  Stage* busiest = nullptr;
  double highest = 0.7;  // share of its threads' time that a stage must work to get another
  const bool is_waited_for = inside_seconds_ > 0.9 * passed;
  for (std::size_t i = 0; i < std::size(all); ++i) {
    const double busy = all[i]->counters().busy_seconds;
    const double load = (busy - std::exchange(busy_before_[i], busy)) / passed;  // in threads
    const int threads = all[i]->threads();
    if (!is_waited_for && threads > 1 && load < 0.6 * (threads - 1)) all[i]->set_threads(threads - 1);
    if (is_waited_for && threads < all[i]->most() && load / threads > highest) {
      highest = load / threads;
      busiest = all[i];
    }
  }
  if (busiest != nullptr) busiest->set_threads(busiest->threads() + 1);
  adapted_ = Clock::now();
  inside_seconds_ = 0;
}

std::vector<InputCounters> ImageStream::stages() const {
  std::vector<InputCounters> stages{read_stage_.counters(), decode_stage_.counters(), augment_stage_.counters()};
  const std::lock_guard lock(counters_mutex_);
  stages[0].queue_mean = encoded_ready_.mean();
  stages[1].queue_mean = decoded_ready_.mean();
  return stages;
}

}  // namespace hadal
