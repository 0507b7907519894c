// The screen, its sound and the microphone, as one stream that a recorder takes.

// WebM first: Chromium's MP4 recorder ends when the shared window changes its size.
const TYPES = [
  "video/webm;codecs=vp9,opus",
  "video/webm;codecs=vp8,opus",
  "video/webm",
  "video/mp4;codecs=avc1.640028,mp4a.40.2",
  "video/mp4",
];
const VIDEO_BITS_PER_S = 5_000_000;
const AUDIO_BITS_PER_S = 128_000;
const CHUNK_MS = 1000;

export const canRecord = () =>
  Boolean(navigator.mediaDevices?.getDisplayMedia && window.MediaRecorder && navigator.storage?.getDirectory);

/** `message` is a sentence for the person. */
export class NotAllowed extends Error {}

/**
 * Ask for the screen, then for the microphone. → {stream, recorder, level(), heard, stop()}
 *
 * `heard`: "microphone", "sound", "both" or "": what is really recorded besides the picture.
 * Throws NotAllowed.
 */
export async function capture({ microphone, sound }) {
  const screen = await askForScreen(sound);
  const voice = microphone ? await askForMicrophone() : null;
  const heard = [voice && "microphone", screen.getAudioTracks().length && "sound"].filter(Boolean);
  const mixed = heard.length ? mix([screen, voice].filter((s) => s?.getAudioTracks().length)) : null;
  const stream = new MediaStream([...screen.getVideoTracks(), ...(mixed?.tracks ?? [])]);
  const type = TYPES.find((candidate) => MediaRecorder.isTypeSupported(candidate));
  const recorder = new MediaRecorder(stream, {
    mimeType: type,
    videoBitsPerSecond: VIDEO_BITS_PER_S,
    audioBitsPerSecond: AUDIO_BITS_PER_S,
  });
  return {
    stream,
    recorder,
    heard: heard.length === 2 ? "both" : (heard[0] ?? ""),
    microphoneRefused: microphone && !voice,
    level: () => mixed?.level() ?? 0,
    start: () => recorder.start(CHUNK_MS),
    stop() {
      for (const source of [screen, voice]) source?.getTracks().forEach((track) => track.stop());
      mixed?.close();
    },
  };
}

async function askForScreen(sound) {
  try {
    return await navigator.mediaDevices.getDisplayMedia({
      video: { frameRate: { ideal: 30, max: 60 } },
      audio: sound,
    });
  } catch (error) {
    if (error.name === "NotAllowedError") {
      throw new NotAllowed(
        "Nothing is shared, so nothing is recorded. Start again and choose a screen, a window or a tab. " +
          "If the browser doesn't ask, allow screen sharing for this site in its settings; on a Mac also " +
          "under System Settings → Privacy & Security → Screen Recording.",
      );
    }
    throw new NotAllowed("The browser could not share a screen. Close other programs that share it, then start again.");
  }
}

async function askForMicrophone() {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true },
    });
  } catch {
    return null; // said on the page; the picture is worth having without it
  }
}

/** Several sounds as one track, and how loud they are together (0 to 1). */
function mix(streams) {
  const context = new AudioContext();
  const out = context.createMediaStreamDestination();
  const meter = context.createAnalyser();
  meter.fftSize = 1024;
  for (const stream of streams) {
    const source = context.createMediaStreamSource(new MediaStream(stream.getAudioTracks()));
    source.connect(out);
    source.connect(meter);
  }
  const wave = new Float32Array(meter.fftSize);
  return {
    tracks: out.stream.getAudioTracks(),
    close: () => context.close(),
    level() {
      meter.getFloatTimeDomainData(wave);
      const power = wave.reduce((sum, value) => sum + value * value, 0) / wave.length;
      // Decibels, −60 to 0, as people hear it; a straight line would hardly move.
      return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power + 1e-9)) / 60));
    },
  };
}
