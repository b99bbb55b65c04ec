//! RSA keys: two primes, searched by all processors at once.
//!
//! FIPS 186-5, appendix A.1.3 and B.3, but that a candidate is stepped on from a random start, as OpenSSL does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Gcd, Limb, NonZero, Odd};
use crypto_primes::hazmat::{AStarBase, LucasCheck, MillerRabin, SmallPrimesSieve, lucas_test};
use ssh_key::Mpint;
use ssh_key::private::{RsaKeypair, RsaPrivateKey};
use ssh_key::public::RsaPublicKey;
use zeroize::{Zeroize, Zeroizing};

use super::GenerateError;

/// The public exponent of every key, a prime.
const E: u32 = 65537;
/// Rounds of Miller-Rabin with a random base, after one with base 2: FIPS 186-5, table B.1, asks for 4 or 5 in all.
const ROUNDS: usize = 5;

/// Makes a key of `bits` bits, which the caller has checked.
pub(super) fn generate(bits: u32) -> Result<RsaKeypair, GenerateError> {
    let search = Search { bits: bits / 2, done: AtomicBool::new(false), found: Mutex::default() };
    let workers = thread::available_parallelism().map_or(1, |count| count.get().min(8));
    thread::scope(|scope| {
        // A host that lets no thread start (RLIMIT_NPROC) gets its key all the same, later.
        let others: Vec<_> = (1..workers)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, || search.run()).ok())
            .collect();
        let mut results = vec![search.run()];
        results.extend(others.into_iter().filter_map(|other| other.join().ok()));
        results.into_iter().collect::<Result<(), _>>()
    })?;
    let found = search.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    match <[_; 2]>::try_from(found) {
        Ok([one, two]) if *one > *two => assemble(&one, &two, bits),
        Ok([one, two]) => assemble(&two, &one, bits),
        Err(_) => None,
    }
    .ok_or(GenerateError::SelfCheck)
}

/// What the workers share.
struct Search {
    /// Bits of one prime.
    bits: u32,
    done: AtomicBool,
    found: Mutex<Vec<Zeroizing<BoxedUint>>>,
}

impl Search {
    /// Finds primes until two are there.
    fn run(&self) -> Result<(), getrandom::Error> {
        let result = self.find();
        self.done.store(true, Ordering::Relaxed);
        result
    }

    fn find(&self) -> Result<(), getrandom::Error> {
        let length = std::num::NonZeroU32::new(self.bits).unwrap_or(std::num::NonZeroU32::MIN);
        loop {
            let start = random(self.bits, true)?;
            for candidate in SmallPrimesSieve::new(start, length, false) {
                if self.done.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if remainder(&candidate, E) == 1 {
                    continue;
                }
                if is_prime(&candidate, self.bits)? {
                    self.keep(Zeroizing::new(candidate));
                    break;
                }
            }
        }
    }

    /// Takes a prime unless there are two, or it is too near to the first one: they must differ in their upper 100 bits.
    fn keep(&self, prime: Zeroizing<BoxedUint>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let far = |other: &Zeroizing<BoxedUint>| {
            let distance =
                if **other > *prime { other.wrapping_sub(&prime) } else { prime.wrapping_sub(other) };
            distance.bits() > self.bits - 100
        };
        if found.len() < 2 && found.iter().all(far) {
            found.push(prime);
        }
        if found.len() == 2 {
            self.done.store(true, Ordering::Relaxed);
        }
    }
}

/// A random number below 2^`bits`; a `candidate` is odd, with its two highest bits set, so that the product of two has all its bits.
fn random(bits: u32, candidate: bool) -> Result<BoxedUint, getrandom::Error> {
    let mut words = Zeroizing::new(vec![0_u8; bits.div_ceil(8) as usize]);
    getrandom::fill(&mut words)?;
    if let Some(first) = words.first_mut() {
        *first &= 0xff >> (bits.next_multiple_of(8) - bits);
    }
    // The size fits by construction, so the zero is never taken; a zero would be no prime.
    let mut number = BoxedUint::from_be_slice(&words, bits).unwrap_or_default();
    if candidate {
        let one = BoxedUint::one_with_precision(bits);
        for bit in [0, bits - 2, bits - 1] {
            number |= one.shl(bit);
        }
    }
    Ok(number)
}

/// Baillie-PSW, which no known composite passes, and Miller-Rabin with random bases.
fn is_prime(candidate: &BoxedUint, bits: u32) -> Result<bool, getrandom::Error> {
    let Some(odd) = Odd::new(candidate.clone()).into_option() else {
        return Ok(false);
    };
    let test = MillerRabin::new(odd.clone());
    if !test.test_base_two().is_probably_prime() {
        return Ok(false);
    }
    for _ in 1..ROUNDS {
        // One bit less than the candidate has, hence below it.
        if !test.test(&random(bits, false)?.shr(1)).is_probably_prime() {
            return Ok(false);
        }
    }
    Ok(lucas_test(odd, AStarBase, LucasCheck::Strong).is_probably_prime())
}

/// The key of two primes, the greater one first, once a number went through it and came back.
fn assemble(p: &BoxedUint, q: &BoxedUint, bits: u32) -> Option<RsaKeypair> {
    let one = BoxedUint::one_with_precision(p.bits_precision());
    let (p1, q1) = (Zeroizing::new(p.wrapping_sub(&one)), Zeroizing::new(q.wrapping_sub(&one)));
    let common = NonZero::new(p1.gcd(&q1)).into_option()?;
    let lambda = Zeroizing::new(p1.mul(&q1.div_rem(&common).0));
    let d = Zeroizing::new(private_exponent(&lambda)?);
    let n = p.mul(q);
    // FIPS 186-5, A.1.1: a private exponent of half the length would be guessable.
    if n.bits() != bits || d.bits() <= bits / 2 || !round_trip(&n, &d) {
        return None;
    }
    let inverse = Zeroizing::new(q.inv_odd_mod(&Odd::new(p.clone()).into_option()?).into_option()?);
    Some(RsaKeypair {
        public: RsaPublicKey { e: Mpint::from_positive_bytes(&E.to_be_bytes()).ok()?, n: mpint(&n)? },
        private: RsaPrivateKey { d: mpint(&d)?, iqmp: mpint(&inverse)?, p: mpint(p)?, q: mpint(q)? },
    })
}

/// The inverse of `E` modulo `lambda`: (1 + k * lambda) / E for the one k below E that makes it whole.
fn private_exponent(lambda: &BoxedUint) -> Option<BoxedUint> {
    let prime = u64::from(E);
    let residue = remainder(lambda, E);
    // 1/lambda modulo E, by Fermat's little theorem.
    let inverse = (0..E - 2).fold(1_u64, |power, _| power * residue % prime);
    let k = BoxedUint::from(prime - inverse);
    let whole = Zeroizing::new(lambda.mul(&k).wrapping_add(&BoxedUint::one()));
    let (d, rest) = whole.div_rem_limb(limb(E)?);
    (rest == Limb::ZERO).then(|| d.shorten(lambda.bits_precision()))
}

/// Whether a number raised to `E` and then to `d` is itself again.
fn round_trip(n: &BoxedUint, d: &BoxedUint) -> bool {
    let Some(modulus) = Odd::new(n.clone()).into_option() else {
        return false;
    };
    let message = BoxedMontyForm::new(
        BoxedUint::from(0x5eed_u64).widen(n.bits_precision()),
        BoxedMontyParams::new_vartime(modulus),
    );
    let cipher = message.pow(&BoxedUint::from(E));
    cipher != message && cipher.pow(d) == message
}

fn limb(divisor: u32) -> Option<NonZero<Limb>> {
    NonZero::new(Limb::from_u32(divisor)).into_option()
}

fn remainder(number: &BoxedUint, divisor: u32) -> u64 {
    limb(divisor).map_or(0, |divisor| number.rem_limb(divisor).0)
}

fn mpint(number: &BoxedUint) -> Option<Mpint> {
    let mut bytes = number.to_be_bytes();
    let result = Mpint::from_positive_bytes(&bytes).ok();
    bytes.zeroize();
    result
}

/// Whether `n` is the product of `p` and `q`, all big endian.
pub(super) fn is_product(n: &[u8], p: &[u8], q: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let bits = u32::try_from(bytes.len() * 8).ok()?;
        BoxedUint::from_be_slice(bytes, bits).ok()
    };
    match (read(n), read(p).map(Zeroizing::new), read(q).map(Zeroizing::new)) {
        (Some(n), Some(p), Some(q)) => p.mul(&q) == n,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_told_apart() {
        // Candidates have their full length, so the length is given for each.
        for (number, bits, prime) in [
            (65_537_u64, 17, true),
            (65_539, 17, true),
            (3_215_031_751, 32, false), // a strong pseudoprime to bases 2, 3, 5 and 7
            (3_825_123_056_546_413_051, 62, false), // and one to the first nine primes
            (18_446_744_073_709_551_557, 64, true),
        ] {
            let got = is_prime(&BoxedUint::from(number), bits).unwrap();
            assert_eq!(got, prime, "{number}");
        }
    }

    #[test]
    fn a_broken_pair_is_not_assembled() {
        let composite = BoxedUint::from(0xffff_ffff_ffff_ffff_u64);
        let prime = BoxedUint::from(18_446_744_073_709_551_557_u64);
        assert!(assemble(&composite, &prime, 128).is_none());
        let other = BoxedUint::from(18_446_744_073_709_551_533_u64);
        assert!(assemble(&prime, &other, 128).is_some());
        assert!(assemble(&prime, &other, 127).is_none());
    }

    #[test]
    fn candidates_have_their_length_and_are_odd() {
        for bits in [1024, 1028, 1536, 4096] {
            let number = random(bits, true).unwrap();
            assert_eq!(number.bits(), bits);
            assert!(bool::from(number.bit(0)) && bool::from(number.bit(bits - 2)));
        }
    }
}
