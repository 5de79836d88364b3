// Um CPF ao acaso, com os dois dígitos verificadores certos.
module.exports = () => {
  const digits = Array.from({length: 9}, () => Math.floor(Math.random() * 10));
  for (let n = 9; n < 11; n++) {
    digits.push((digits.reduce((sum, digit, i) => sum + digit * (n + 1 - i), 0) * 10) % 11 % 10);
  }
  return digits.join("");
};
