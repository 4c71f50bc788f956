// A WAV file, mono, 16 bit: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html

/** Samples between -1 and 1 as the bytes of a file. */
export function wav(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => {
    for (const [index, letter] of [...letters].entries())
      bytes.setUint8(at + index, letter.charCodeAt(0));
  };
  text(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // channels
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => {
    bytes.setInt16(44 + 2 * index, 32_767 * Math.max(-1, Math.min(1, sample)), true);
  });
  return bytes.buffer;
}
