package mapping

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
)

// queryCharset is the character set that a query names itself, in "ie" or "_charset_", or nil.
func queryCharset(query string) encoding.Encoding {
	if !strings.Contains(query, "%") || !strings.Contains(query, "ie=") && !strings.Contains(query, "_charset_=") {
		return nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, name, _ := strings.Cut(pair, "=")
		if key != "ie" && key != "_charset_" {
			continue
		}
		if charset, err := htmlindex.Get(name); err == nil {
			return charset
		}
	}
	return nil
}

// decodeValue decodes a parameter's value. Bytes that are no UTF-8 are decoded from another
// character set if only one is possible; otherwise they keep their escapes, so that two
// different values stay different.
func decodeValue(value string, charset encoding.Encoding) string {
	plain := unescape(value)
	if utf8.ValidString(plain) {
		return plain
	}
	if charset != nil {
		if text, ok := decode(charset, plain); ok {
			return text
		}
	}
	if text, ok := guessCharset(plain); ok {
		return text
	}
	return escapeInvalid(plain)
}

// EscapeInvalid returns a URL in which bytes that are no UTF-8 are percent escapes, as browsers
// send them.
func EscapeInvalid(url string) string {
	if utf8.ValidString(url) {
		return url
	}
	return escapeInvalid(url)
}

// escapeInvalid writes bytes that are no UTF-8 as percent escapes.
func escapeInvalid(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		if c == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

func decode(charset encoding.Encoding, s string) (string, bool) {
	text, err := charset.NewDecoder().String(s)
	return text, err == nil && !strings.ContainsRune(text, utf8.RuneError)
}

// guessCharset decodes a text that can be in windows-1252, Shift-JIS or EUC-KR, if exactly one
// of them gives a text that people would write.
func guessCharset(s string) (string, bool) {
	western, isWestern := decode(charmap.Windows1252, s)
	isWestern = isWestern && plausibleWestern(western)
	japaneseText, isJapanese := decode(japanese.ShiftJIS, s)
	ideographs, isJapanese := plausibleJapanese(s, japaneseText, isJapanese)
	koreanText, isKorean := decode(korean.EUCKR, s)
	isKorean = isKorean && plausibleKorean(s, koreanText)
	switch {
	case isKorean && !isWestern && !isJapanese:
		return koreanText, true
	case isJapanese && !isWestern && !isKorean:
		return japaneseText, true
	case isWestern && !isKorean && (!isJapanese || ideographs == 1):
		// An ideograph in the middle of Latin letters is an apostrophe or a dash and the letter after it.
		return western, true
	}
	return "", false
}

// plausibleWestern reports whether every character beyond ASCII is a letter in a word of ASCII
// letters, or a mark of punctuation where it belongs.
func plausibleWestern(s string) bool {
	text := []rune(s)
	at := func(i int) rune {
		if i < 0 || i >= len(text) {
			return ' '
		}
		return text[i]
	}
	ascii := func(c rune) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
	inWord := func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }
	run := 0 // letters beyond ASCII in a row
	for i, c := range text {
		if c < 0x80 {
			run = 0
			continue
		}
		before, after := at(i-1), at(i+1)
		switch {
		case c >= 0xC0 && c != '×' && c != '÷' && c <= 0xFF || strings.ContainsRune("ŠšŽžŒœŸ", c):
			if run++; run > 2 || !ascii(before) && !ascii(after) && !ascii(at(i-2)) && !ascii(at(i+2)) {
				return false
			}
			continue
		case c == '’' && unicode.IsLetter(before):
		case c == '“' && !inWord(before) && inWord(after) && strings.ContainsRune(string(text[i:]), '”'):
		case c == '”' && !inWord(after) && !unicode.IsSpace(before):
		case (c == '–' || c == '—') && unicode.IsSpace(before) == unicode.IsSpace(after):
		case (c == '€' || c == '£') && (unicode.IsDigit(before) || unicode.IsDigit(after) || unicode.IsSpace(before) && unicode.IsDigit(at(i-2))):
		case (c == '®' || c == '™' || c == '©') && (inWord(before) || c == '©'):
		case c == '°' && unicode.IsDigit(before), c == '…' && inWord(before), c == '\u00A0' && inWord(before) && inWord(after):
		default:
			return false
		}
		run = 0
	}
	return true
}

// plausibleJapanese reports whether a text is Japanese, and how many ideographs and kana it has.
// In Shift-JIS the common ones begin with a byte below 0x98. Halfwidth katakana are one byte
// long, which any other text would be as well.
func plausibleJapanese(raw, text string, valid bool) (ideographs int, ok bool) {
	if !valid {
		return 0, false
	}
	for _, c := range text {
		switch {
		case c < 0x80:
		case unicode.In(c, unicode.Han, unicode.Hiragana) || unicode.Is(unicode.Katakana, c) && c < 0xFF00:
			ideographs++
		case 0x3000 <= c && c <= 0x30FF, 0xFF01 <= c && c <= 0xFF5E:
		default:
			return 0, false
		}
	}
	common := 0
	for i := 0; i < len(raw); i++ {
		if raw[i] < 0x80 {
			continue
		}
		if raw[i] < 0x98 {
			common++
		}
		i++ // every character beyond ASCII has two bytes here
	}
	return ideographs, ideographs > 0 && 2*common > ideographs
}

// plausibleKorean reports whether all of a text beyond ASCII is Hangul in two bytes, most of it
// common: texts in Chinese character sets have the same bytes, but not the same frequencies.
func plausibleKorean(raw, text string) bool {
	hangul, common := 0, 0
	if oneInWord.MatchString(text) {
		return false // two letters of another language
	}
	for _, c := range text {
		switch {
		case c < 0x80:
		case unicode.Is(unicode.Hangul, c):
			hangul++
			if strings.ContainsRune(commonHangul, c) {
				common++
			}
		default:
			return false
		}
	}
	high := 0
	for _, c := range []byte(raw) {
		if c >= 0x80 {
			high++
		}
	}
	return hangul > 0 && high == 2*hangul && (hangul == 1 && common == 1 || hangul > 1 && 2*common > hangul)
}

var oneInWord = regexp.MustCompile(`[A-Za-z]\p{Hangul}[A-Za-z]`)

// commonHangul are syllables that are frequent in Korean texts and in names of campaigns.
const commonHangul = "가각간갈감갑값강갖같개객거건걸검것게겠겨결경계고곡곤골곳공과관광교구국군굴궁권귀규그극근글금급기긴길김깊까깨꺼께꼭꽃꾸끝끼" +
	"나난날남납낮내너널넘네년노녹논놀농높놓누눈뉴느는늘능니다단달담답당대댁더던덜데델도독돈돌동되된될두둘드득든들등디딩따때떠떤또라락란람랑래랜랫량러럭런럼럽렇레력련령례로록론료루류륨률르른를름리린릴림립링" +
	"마막만많말망맞매맥맨먹먼메멘며면명모목몰못무문물미민밀바박반받발밤밥방배백버번벌범법베벤벨변별병보복본볼봄봉부북분불브블비빙빌빛빠사산살삼상새색생샤샵서석선설섬성세센셀셋션소속손솔송쇼수숙순술쉬스슬습승시식신실심십싸쓰씨" +
	"아악안않알암압았앙앞애액앤야약양어언얼엄업없었에엔엘여역연열염영예오온올옷와완왕외요욕용우운울움워원월웨위유육윤율으은을음응의이인일임입있잉자작잔잘잠장재잭저적전절점정제져조족존종좋주준줄중즈즉즐증지직진질집" +
	"차착찬참창찾채책처천첫청체쳐초촉총최추축출충취치친칠침카칸칼캐캔캠커컨컴케켓코콘콜쿠쿨크클키킹타탁탄탈탑태택터테텍텔토톡톤통투트특틀티팀팅파판팔패팩퍼펀페펙편평폐포폭폰표푸품풍프플피픽필하학한할함합항해핵핸햄행향허헌험헤현형호혹혼홈홍화환활황회획효후훈휴흐희히힐힘"
